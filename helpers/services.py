"""Real servers for a lesson: start, wait until healthy, stop, never leave an orphan.

A service runs under a *supervisor*, this very file as a process of its own: it ends the server's whole
process group when told to, when the server dies, or when the process that asked for it is gone (even by SIGKILL).
"""

from __future__ import annotations

import ast
import atexit
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"
TRITON = "site-packages/pytriton/tritonserver"
INSTALL = {
    "triton": "run `make setup` (Linux; makes .venv-triton), or set LLM90_TRITON to a venv with nvidia-pytriton",
    "tensorflow": "run `make setup` (Linux), or `pip install tensorflow==2.21.0` and restart the kernel",
}
PACKAGES = {"tensorflow"}  # not servers, but missing on some machines: being importable is being there


class ServiceError(RuntimeError):
    """A server could not be found, started or kept alive; the message says what to do."""


class Service:
    """A server process on loopback ports; ``with`` or ``start()`` starts it.

    Args:
        name: what errors call it, and its key in ``INSTALL``.
        command: program and arguments.
        ports: use → number of every port it will listen on; checked before the start.
        healthy: called with the service until it returns True; OSError means not yet.
        env: environment variables on top of this process's own.
        wait: seconds until it must be healthy.
        grace: seconds between the polite stop and SIGKILL.
        stop_signal: the polite stop (PostgreSQL's fast one is SIGINT).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        ports: dict[str, int],
        healthy: Callable[[Any], bool],
        env: dict[str, str] | None = None,
        wait: float = 60,
        grace: float = 10,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        self.name, self.command, self.ports, self.healthy = name, [str(word) for word in command], ports, healthy
        self.env, self.wait, self.grace, self.stop_signal = env or {}, wait, grace, stop_signal
        self.folder = Path(tempfile.mkdtemp(prefix=f"llm90-{name}-"))
        self.log = self.folder / "log"  # everything the server writes; stays after the stop
        self._pid_file = self.folder / "pid"
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def start(self) -> Self:
        """Start the server and return when it is healthy.

        Raises:
            ServiceError: program missing, port taken, dead at start, or not healthy in time.
        """
        if self.running:
            raise ServiceError(f"{self.name} runs already (pid {self.pid}): stop() it before another start()")
        if shutil.which(self.command[0]) is None:
            raise ServiceError(f"there is no program {self.command[0]}: {INSTALL.get(self.name, 'install it')}")
        for use, port in self.ports.items():
            if not _is_free(port):
                taken = f"{self.name} wants port {port} for {use}, but {_who(port)} listens there"
                raise ServiceError(f"{taken}: end that process, or leave the port out to get a free one")
        self._pid_file.unlink(missing_ok=True)
        watch = [sys.executable, "-I", "-S", __file__, os.getpid(), self.grace, int(self.stop_signal), self._pid_file]
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [str(word) for word in watch] + self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.env,
                start_new_session=True,  # an interrupt meant for the notebook must not reach the server
            )
        atexit.register(self.stop)
        try:
            self._until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server politely, then by force, with every process it started; safe to call twice."""
        if self._supervisor is None or os.getpid() != self._owner:  # a forked child must not stop its parent's server
            return
        self._supervisor.terminate()
        try:
            self._supervisor.wait(self.grace + 5)
        except subprocess.TimeoutExpired:  # the supervisor itself is stuck: do its work
            _kill_group(self.pid or self._supervisor.pid)
            self._supervisor.kill()
            self._supervisor.wait()
        self._supervisor = None
        atexit.unregister(self.stop)

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server is alive."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the server, 0 before it has one."""
        return int(self._pid_file.read_text() or 0) if self._pid_file.exists() else 0

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log, without empty ones and the rows of tables."""
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in text if line and line[0] not in "+|"][-lines:])

    def _until_healthy(self) -> None:
        end = time.monotonic() + self.wait
        while self._supervisor is not None and (code := self._supervisor.poll()) is None:
            with suppress(OSError):
                if self.healthy(self):
                    return
            if time.monotonic() > end:
                slow = f"{self.name} was not healthy within {self.wait:g} s"
                raise ServiceError(f"{slow}; its log ({self.log}) ends:\n{self.tail()}")
            time.sleep(0.05)
        raise ServiceError(f"{self.name} died at start with exit code {code}; its log ends:\n{self.tail()}")


class Triton(Service):
    """A Triton Inference Server; ``triton`` makes one."""

    http_port = property(lambda self: self.ports["http"])
    grpc_port = property(lambda self: self.ports["grpc"])
    metrics_port = property(lambda self: self.ports["metrics"])

    def ready(self) -> bool:
        """Whether the server and all models it was told to load are ready."""
        return http_get(self.http_port, "/v2/health/ready") == b""

    def metrics(self) -> dict[str, float]:
        """Every sample of the server's ``/metrics`` as ``name{labels}`` → value."""
        text = http_get(self.metrics_port, "/metrics").decode()
        samples = re.findall(r"^([a-zA-Z_:][^{\s]*(?:\{.*\})?)\s+(\S+)", text, re.M)
        return {key: float(value) for key, value in samples}


def triton(
    repository: str | Path,
    *,
    model_control: str = "none",
    load: Sequence[str] = (),
    ports: dict[str, int] | None = None,
    options: Sequence[str] = (),
    wait: float = 60,
) -> Triton:
    """Triton over a model repository; start it with ``with`` or ``.start()``.

    Its Python models run in Triton's own environment (numpy < 2), not in the notebook's.
    ``model_control`` is ``none`` (load every model at start), ``explicit`` (those in
    ``load``, others on demand) or ``poll``; ``ports`` may fix ``http``, ``grpc``,
    ``metrics``; ``options`` go to ``tritonserver``. ServiceError if Triton is not installed here.
    """
    if (home := _triton_home()) is None:
        raise ServiceError(f"Triton is not installed here: {INSTALL['triton']}")
    site, environment = home.parents[1], home.parents[4]
    chosen = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True)) | (ports or {})
    command: list[str | Path] = [home / "bin/tritonserver", "--model-repository", Path(repository).resolve()]
    for kind, port in chosen.items():
        command += [f"--{kind}-address", HOST, f"--{kind}-port", str(port)]
    command += ["--model-control-mode", model_control, *(f"--load-model={model}" for model in load)]
    command += ["--exit-timeout-secs", "5", *options]
    ask = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    libraries = subprocess.check_output([environment / "bin/python", "-c", ask], text=True).strip()
    env = {"LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{libraries}"}
    env["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"  # the back end takes the first python it finds
    server = Triton("triton", command, ports=chosen, healthy=Triton.ready, env=env, wait=wait)
    backend = server.folder / "backends" / "python"  # the wheel keeps apart what the server wants in one folder
    backend.mkdir(parents=True)
    for file in (*(home / "backends" / "python").iterdir(), _triton_stub(home)):
        (backend / file.name).symlink_to(file)
    server.command += ["--backend-directory", str(backend.parent)]
    return server


def available(name: str) -> bool:
    """Whether the server or package called ``name`` is installed here; LookupError for a name nobody knows."""
    if name not in INSTALL:
        raise LookupError(f"no service called {name!r}: known are {', '.join(INSTALL)}")
    return find_spec(name) is not None if name in PACKAGES else _triton_home() is not None


def needs(name: str) -> bool:
    """Say that a lesson needs ``name``; on a machine without it, let its cells say *not run here*.

    There, a later cell that raises ServiceError, or NameError because an earlier one could not run, prints one
    line instead, its claims count as *not run*, its half-made names are taken away. Other errors stay errors.
    """
    if available(name):
        return True
    print(f"not run here: this machine has no {name}; {INSTALL[name]}")
    from IPython.core.getipython import get_ipython

    if shell := get_ipython():
        shell.ast_transformers.append(_NotRun(name))
    return False


class _NotRun(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Module(self, cell: ast.Module) -> ast.Module:  # noqa: N802 (the name ast asks for)
        calls = [call for call in ast.walk(cell) if isinstance(call, ast.Call) and ast.unparse(call.func) == "claim"]
        instead = [f"claim({ast.unparse(call.args[0])}, '', False, needs={self.name!r})" for call in calls]
        instead = instead or [f"print('not run here: needs {self.name}')"]
        made = {n.id for n in ast.walk(cell) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        instead += [f"globals().pop({name!r}, None)" for name in sorted(made)]
        catch = f"except (NameError, __import__('{__name__}').services.ServiceError): " + "; ".join(instead)
        guard = ast.parse("try: pass\n" + catch)
        assert isinstance(guard.body[0], ast.Try)
        guard.body[0].body[:0] = cell.body
        return ast.fix_missing_locations(guard)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range from which systems take ports for outgoing connections."""
    some = random.SystemRandom().sample(range(20000, 32000), 1000)  # the lesson's seeded generator stays untouched
    return [port for port, _ in zip(filter(_is_free, some), range(count), strict=False)]


def http_get(port: int, path: str, timeout: float = 2) -> bytes:
    """Body of a GET on a loopback port; OSError if nothing answers, or not with a 2xx."""
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(f"http://{HOST}:{port}{path}", timeout=timeout) as answer:
        return bytes(answer.read())


def _triton_home() -> Path | None:
    """The wheel's ``pytriton/tritonserver`` folder."""
    above = [*Path(__file__).resolve().parents[1:], Path.cwd(), *Path.cwd().parents]
    named = os.environ.get("LLM90_TRITON")
    places = [Path(named)] if named else [folder / ".venv-triton" for folder in above]
    homes = (home for place in places for home in place.resolve().glob(f"lib/python3*/{TRITON}"))
    return next((home for home in homes if (home / "bin/tritonserver").exists() and _triton_stub(home).exists()), None)


def _triton_stub(home: Path) -> Path:
    return home / "python_backend_stubs" / home.parents[2].name.removeprefix("python") / "triton_python_backend_stub"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:  # bind alone does not see a listener on all addresses everywhere
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
        probe.bind((HOST, port))
        return True
    return False


def _who(port: int) -> str:
    with suppress(Exception):  # no psutil, or not allowed to look (macOS without root)
        import psutil

        for link in psutil.net_connections("tcp"):
            if link.laddr and link.laddr.port == port and link.status == psutil.CONN_LISTEN and link.pid:
                return f"{psutil.Process(link.pid).name()} (pid {link.pid})"
    return "another process"


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _supervise(parent: int, grace: float, stop_signal: int, pid_file: str, command: list[str]) -> int:
    """Run ``command`` in a process group of its own while ``parent`` lives; returns its exit code."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: told.append(number))
    server = subprocess.Popen(command, process_group=0)
    Path(pid_file).write_text(str(server.pid))
    while server.poll() is None and not told and os.getppid() == parent:
        time.sleep(0.1)
    if server.poll() is None:
        server.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    _kill_group(server.pid)  # what it left behind, and itself if it did not listen
    return server.wait() if server.wait() >= 0 else 128 - server.wait()  # ended by a signal: as shells count


if __name__ == "__main__":
    sys.exit(_supervise(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:]))
