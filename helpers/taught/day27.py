"""Built in day 27, RNN, LSTM and GRU: ``runner taught`` copies it from day27_rnn_lstm.ipynb."""

import torch
from torch import nn


def affine(x, w, b):
    """x (…, batch, in), w (…, out, in), b (…, out)."""
    return x @ w.mT + b[..., None, :]


def rnn_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    return (torch.tanh(affine(x, w_ih, b_ih) + affine(h, w_hh, b_hh)),)


def lstm_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    h, c = state
    parts = affine(x, w_ih, b_ih) + affine(h, w_hh, b_hh)
    i, f, g, o = parts.chunk(4, dim=-1)             # PyTorch's order
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    x_r, x_z, x_n = affine(x, w_ih, b_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = affine(h, w_hh, b_hh).chunk(3, dim=-1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    n = (x_n + r * h_n).tanh()
    return ((1 - z) * n + z * h,)


def unroll(cell, xs, state, params):
    """xs (time, …, batch, in) -> outputs (time, …, batch, hidden)."""
    outputs = []
    for x in xs:
        state = cell(x, state, *params)
        outputs.append(state[0])
    return torch.stack(outputs), state


class StockPredictor(nn.Module):
    """Windows (batch, time, features) -> forecasts (batch, outputs)."""

    def __init__(self, input_size=1, hidden_size=32, output_size=1):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        out, _ = self.lstm(x)              # (batch, time, hidden)
        return self.fc(out[:, -1, :])      # the last step of each window
