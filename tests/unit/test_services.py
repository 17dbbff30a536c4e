"""Servers really start, and nothing of them is left whatever happens to the process that asked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers import services
from helpers.claims import MIME
from helpers.services import Service, ServiceError

needs_triton = pytest.mark.skipif(not services.available("triton"), reason="no Triton here: run `make setup`")

# A server that listens, has a child of its own, and may refuse to stop.
WEB = """
import http.server, signal, subprocess, sys
port, stubborn = int(sys.argv[1]), sys.argv[2] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("Y", 2 * pb.get_input_tensor_by_name(r, "X").as_numpy())])
                for r in requests]
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input [{ name: "X" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ kind: KIND_CPU }]
"""


def web(kind: str = "polite", port: int = 0, **options: object) -> Service:
    port = port or services.free_ports(1)[0]
    options.setdefault("healthy", lambda s: bool(services.http_get(s.ports["http"], "/")))
    return Service("web", [sys.executable, "-c", WEB, str(port), kind], ports={"http": port}, **options)  # type: ignore[arg-type]


def family(server: Service) -> list[psutil.Process]:
    leader = psutil.Process(server.pid)
    found = [leader, *leader.children(recursive=True)]
    assert len(found) >= 2, "the test's server should have a child"
    return found


def assert_gone(processes: list[psutil.Process], seconds: float = 8) -> None:
    wait_for(lambda: not any(_alive(process) for process in processes), seconds)


def _alive(process: psutil.Process) -> bool:
    try:  # a zombie has ended; it waits for the container's init to take note
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float = 20):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"still not so after {seconds} s")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "double" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder.parent / "config.pbtxt").write_text(CONFIG)
    return tmp_path / "models"


def test_with_starts_and_stops() -> None:
    with web() as server:
        processes = family(server)
        assert server.running and b"<" in services.http_get(server.ports["http"], "/")
    assert not server.running
    assert_gone(processes, 1)
    assert "child" in server.log.read_text(), "the log stays"
    server.stop()


def test_start_again_after_stop() -> None:
    server = web().start()
    server.stop()
    with server:
        assert server.running
        with pytest.raises(ServiceError, match="runs already"):
            server.start()


def test_server_that_ignores_the_polite_stop_is_killed() -> None:
    with web("stubborn", grace=0.5) as server:
        processes = family(server)
    assert_gone(processes, 1)


def test_supervisor_that_is_stopped_does_not_hang_the_stop() -> None:
    with web(grace=-4) as server:
        processes = family(server)
        server._supervisor.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    assert_gone(processes, 1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_in_the_body(error: type[BaseException]) -> None:
    with pytest.raises(error), web() as server:
        processes = family(server)
        raise error
    assert_gone(processes, 1)


def test_missing_program_says_how_to_install() -> None:
    with pytest.raises(ServiceError, match="no program /nowhere/tritonserver.*make setup"):
        Service("triton", ["/nowhere/tritonserver"], ports={}, healthy=lambda s: True).start()


def test_taken_port_names_port_and_owner() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"port {port} for http, but .*pid {os.getpid()}.* listens there: end"):
            web(port=port).start()


def test_death_at_start_gives_exit_code_and_log() -> None:
    dies = [sys.executable, "-c", "import sys; print('the reason'); sys.exit(7)"]
    with pytest.raises(ServiceError, match="(?s)died at start with exit code 7.*the reason"):
        Service("short", dies, ports={}, healthy=lambda s: False).start()
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(ServiceError, match="exit code 137"):
        Service("short", killed, ports={}, healthy=lambda s: False).start()


def test_not_healthy_in_time_shows_the_log_and_leaves_nothing() -> None:
    server = web(healthy=lambda s: s.log.stat().st_size < 0, wait=1)
    with pytest.raises(ServiceError, match=r"(?s)not healthy within 1 s.*child \d+"):
        server.start()
    child = int(server.tail().split()[1])
    assert_gone([psutil.Process(child)] if psutil.pid_exists(child) else [], 2)


def test_interrupt_while_starting_leaves_nothing() -> None:
    def interrupted(server: Service) -> bool:
        if server.log.stat().st_size:
            raise KeyboardInterrupt
        return False

    server = web(healthy=interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    child = int(server.tail().split()[1])
    assert_gone([psutil.Process(child)] if psutil.pid_exists(child) else [], 2)


HOLDER = """
import os, sys, time
sys.path[:0] = [{root!r}, {here!r}]
from test_services import web, family
server = {make}.start()
print(*[p.pid for p in family(server)], flush=True)
{then}
"""


def hold(then: str, make: str = "web()") -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A Python process that holds a server, and the processes of that server."""
    here = Path(__file__)
    code = HOLDER.format(root=str(here.parents[2]), here=str(here.parent), make=make, then=then)
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    line = holder.stdout.readline()
    return holder, [psutil.Process(int(pid)) for pid in line.split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_kernel_takes_its_server_along(number: int) -> None:
    holder, processes = hold("time.sleep(600)")
    holder.send_signal(number)
    holder.wait()
    assert_gone(processes)


@pytest.mark.parametrize("then", ["", "sys.exit(3)", "raise ValueError", "os._exit(0)"])
def test_end_of_the_interpreter_ends_the_server(then: str) -> None:
    holder, processes = hold(then)
    holder.wait(30)
    assert_gone(processes)


def test_forked_child_leaves_the_server_alone() -> None:
    fork = "pid = os.fork()\nif pid == 0: sys.exit(0)\nos.waitpid(pid, 0); time.sleep(0.5)\n"
    holder, processes = hold(fork + "print(server.running, flush=True)")
    assert holder.stdout is not None and holder.stdout.readline().strip() == "True"
    holder.wait(30)
    assert_gone(processes)


def test_unknown_name() -> None:
    with pytest.raises(LookupError, match="known are triton"):
        services.available("trition")


def test_a_package_is_available_when_it_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in (None, object()):
        monkeypatch.setattr(services, "find_spec", {"tensorflow": spec}.get)
        assert services.available("tensorflow") is (spec is not None)


def test_free_ports_are_free_and_differ() -> None:
    ports = services.free_ports(20)
    assert len(set(ports)) == 20


@needs_triton
def test_triton_serves_and_stops(repository: Path) -> None:
    import json
    from urllib.request import Request, urlopen

    body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2]}]}
    with services.triton(repository) as server:
        processes = family(server)
        url = f"http://127.0.0.1:{server.http_port}/v2/models/double/infer"
        with urlopen(Request(url, json.dumps(body).encode()), timeout=5) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [3.0, -4.0]
        assert server.metrics()['nv_inference_count{model="double",version="1"}'] == 1
        assert "Started GRPCInferenceService" in server.log.read_text()
        listening = {link.laddr for p in processes for link in p.net_connections() if link.status == "LISTEN"}
        assert {address.port for address in listening} == set(server.ports.values())
        assert all(address.ip.removeprefix("::ffff:") == "127.0.0.1" for address in listening), "loopback only"
    assert_gone(processes, 1)


@needs_triton
def test_two_tritons_and_explicit_loading(repository: Path) -> None:
    with (
        services.triton(repository, model_control="explicit") as one,
        services.triton(repository, model_control="explicit", load=["double"]) as two,
    ):
        processes = family(two) + [psutil.Process(one.pid)]
        assert not set(one.ports.values()) & set(two.ports.values())
        with pytest.raises(OSError, match="400|404"):
            services.http_get(one.http_port, "/v2/models/double/ready")
        assert services.http_get(two.http_port, "/v2/models/double/ready") == b""
    assert_gone(processes, 1)


@needs_triton
def test_triton_with_a_broken_model_says_why(repository: Path) -> None:
    (repository / "double/config.pbtxt").write_text(CONFIG.replace("max_batch_size", "max_bach_size"))
    with pytest.raises(ServiceError, match='(?s)died at start with exit code 1.*no field named "max_bach_size"'):
        services.triton(repository).start()


@needs_triton
def test_killed_kernel_takes_triton_along(repository: Path) -> None:
    make = f"__import__('helpers.services').services.triton({str(repository)!r})"
    holder, processes = hold("time.sleep(600)", make)
    holder.kill()
    holder.wait()
    assert len(processes) >= 2
    assert_gone(processes)


def test_without_triton_errors_and_cells_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("LLM90_TRITON", str(tmp_path))
    assert not services.available("triton")
    with pytest.raises(ServiceError, match="not installed here: run `make setup`"):
        services.triton(tmp_path)

    shell = InteractiveShell.instance()
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle[MIME]))
    try:
        run = shell.run_cell
        run("from helpers import claim, services\nhere = services.needs('triton')").raise_error()
        run("server = services.triton('models').start()\nlatency = 3").raise_error()
        run("claim('fast', f'{latency} ms', latency < 5, needs='triton')\nclaim('b', '', True)").raise_error()
        assert "not run here: needs triton" in capsys.readouterr().out
        assert [(r["text"], r["status"]) for r in shown] == [("fast", "not-run"), ("b", "not-run")]
        run("found = {}\nfound['x'] = server.pid").raise_error()
        run("print(found['x'])").raise_error()  # a KeyError if the half-made dictionary were still there
        run("x = 1\nassert x == 1 and not here").raise_error()
        assert isinstance(run("1 / 0").error_in_exec, ZeroDivisionError), "a real error stays one"
    finally:
        InteractiveShell.clear_instance()
