"""Start the programs of tests, ``python -m MODULE``, from a process that has imported the large packages.

A pipeline of a test starts DVC, notebooks and kernels, a hundred processes that would import PyTorch, pandas and the
like for seconds each. `install` changes how `subprocess` starts them: a server, which has imported the packages but
nothing of this project, forks the process. The process has the arguments, environment, folder and files that `Popen`
was given, is a true child of who asked (same process id to wait for and to signal, same session), and can start others
in the same way. Everything else starts as always: ``python -c``, which tests use to see what a process imports;
programs with settings that matter while packages are imported, such as ``PYTHONHASHSEED``; and all of them on systems
other than Linux.
"""

import atexit
import ctypes
import fcntl
import gc
import importlib
import inspect
import io
import os
import pickle
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from joblib.externals.loky.backend import fork_exec as workers

PACKAGES = """
    av dulwich.repo dvc.cli dvc.commands.experiments.run dvc.commands.repro dvc.repo
    dvc.repo.experiments.queue.workspace dvc.repo.reproduce dvc.stage.run fasttext git h5py
    ipykernel.ipkernel ipykernel.kernelapp ipykernel.zmqshell ipywidgets joblib lemminflect
    matplotlib.backends.backend_agg matplotlib.tri mpl_toolkits.mplot3d nbformat networkx pandas papermill.engines
    papermill.execute papermill.iorw PIL.PngImagePlugin pydantic.main pydantic.root_model pydantic.types ruamel.yaml
    safetensors.torch scipy.cluster.hierarchy scipy.io scipy.optimize scipy.sparse scipy.stats scmrepo.git
    statsmodels.stats.multitest statsmodels.stats.proportion torch torch._dynamo torch.nn.parallel torch.optim.swa_utils
    torch.utils.data tqdm yaml
"""
SETTINGS = ("ATEN_", "CUDA_", "GLIBC_", "LD_", "MALLOC_", "MKL_", "MPL", "OMP_", "OPENBLAS_", "PYTHON")
FREE = ("GLIBC_TUNABLES", "PYTHONPATH", "PYTHONUNBUFFERED")  # they change no result, or every process gets its own
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
KERNEL = "ipykernel_launcher"
CLIENT = None  # of this process, once installed


def settings(environment):
    """The environment variables that matter before the first line of a program runs."""
    found = {key: value for key, value in environment.items() if key.startswith(SETTINGS) and key not in FREE}
    for others in ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # joblib sets them to what they are without it
        if found.get(others) == found.get("OMP_NUM_THREADS"):
            found.pop(others, None)
    return found


class _Client:
    """A process's connection to the server that starts its children."""

    def __init__(self, connection=None, started=None):
        self.connection, self.settings, self.owner = connection, started, os.getpid()
        self.lock, self.works = threading.Lock(), sys.platform == "linux"

    def start(self, module, arguments, folder, environment, files, session):
        """The id of a new process, a child of this one; None if it has to be started as always.

        ``files`` maps the numbers that files have in the process to those that they have here.
        """
        if not self.works or self.owner != os.getpid() or not os.path.isdir(folder or "."):
            return None
        with self.lock:
            try:
                if self.connection is None:
                    self._connect()
                if settings(environment) != self.settings:
                    return None
                ignored = [sent for sent in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(sent) == signal.SIG_IGN]
                request = module, arguments, folder or os.getcwd(), dict(environment), [*files], session, ignored
                ctypes.CDLL(None).prctl(SUBREAPER, 1)  # so that the process, an orphan, is given to this one
                socket.send_fds(self.connection, [pickle.dumps(request)], [*files.values()])
                return int(self.connection.recv(64))
            except BaseException as error:
                self.works = False
                if isinstance(error, (OSError, ValueError)):
                    return None
                raise
            finally:
                ctypes.CDLL(None).prctl(SUBREAPER, 0)

    def _connect(self):
        self.connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path[0] = {str(Path(__file__).parent)!r}; import preloaded; preloaded.main()"
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [sys.executable, "-c", code, str(other.fileno())]
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.server = subprocess.Popen(command, env=environment, cwd="/", pass_fds=[other.fileno()], **nothing)
        other.close()
        self.settings = settings(environment)


def install(client=None):
    """Let this process start its children through a server of its own, which begins with the first of them."""
    global CLIENT
    client, ordinary = client or _Client(), subprocess.Popen._execute_child
    CLIENT = client
    signature = inspect.signature(ordinary)

    def execute_child(self, *given):
        asked = signature.bind(self, *given).arguments
        environment = os.environ if asked["env"] is None else asked["env"]
        command = _command(asked["args"], environment)
        special = [asked[name] for name in ("executable", "preexec_fn", "pass_fds", "shell") if asked[name]]
        special += [asked[name] for name in ("gid", "gids", "uid") if asked[name] is not None]
        if command and not special and asked["umask"] == -1 and asked["process_group"] == -1:
            given_files = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            files = {own: own if file == -1 else file for own, file in enumerate(given_files)}
            folder, session = asked["cwd"] and os.fspath(asked["cwd"]), asked["start_new_session"]
            if pid := client.start(*command, folder, environment, files, session):
                self.pid, self._child_created = pid, True
                pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
                self._close_pipe_fds(*(asked[name] for name in pipes))
                return
        ordinary(self, *given)

    def fork_exec(command, kept, env=None):
        """What joblib starts its workers with."""
        _, _, module, *arguments = command
        files = {file: file for file in (0, 1, 2, *map(int, kept))}
        return client.start(module, arguments, None, os.environ | (env or {}), files, False) or loky(command, kept, env)

    subprocess.Popen._execute_child = execute_child
    loky, workers.fork_exec = workers.fork_exec, fork_exec


def _command(line, environment):
    """The module and arguments of ``python -m MODULE ...``, also if a shell is to run it; None for anything else."""
    if isinstance(line, (str, bytes, os.PathLike)):
        return None
    line = [os.fsdecode(word) for word in line]
    if (
        Path(line[0]).name in ("bash", "sh", "dash")
        and line[-2:-1] == ["-c"]
        and re.fullmatch(r"[\w./@=:, -]+", line[-1])
    ):
        line = line[-1].split()
    if line[1:2] != ["-m"] or len(line) < 3:
        return None
    python = shutil.which(line[0], path=environment.get("PATH"))
    if not python or not Path(python).name.startswith("python"):
        return None
    same = os.path.samefile(Path(python).parent, Path(sys.executable).parent) and os.path.samefile(
        python, sys.executable
    )
    return (line[2], line[3:]) if same else None


# --- the server ----------------------------------------------------------------------------------------


def main():
    """Import the packages, and become every process that is asked for."""
    base, started = sys.path[1:], settings(os.environ)
    sys.modules["rfc3987_syntax"] = None  # as in `aurl.pipeline.notebook`
    for name in PACKAGES.split():
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that processes go on sharing this memory
    module, arguments = _serve(socket.socket(fileno=int(sys.argv[1])), started)
    sys.argv, sys.orig_argv = ["-m", *arguments], [sys.executable, "-m", module, *arguments]
    sys.path[:] = [os.getcwd(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *base]
    sys.path_importer_cache.clear()
    if module == KERNEL:
        _undo_imports_outside_of_a_kernel()
    _finish(_status(module))


def _status(module):
    """Run the module as Python does and return its exit status, or less the signal that is to end it."""
    try:
        runpy._run_module_as_main(module)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _finish(status):
    """End like Python, but without taking every module apart, which takes longer than most programs."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError, ValueError):
            stream.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _serve(connection, started):
    """Answer requests until the other end is closed. In each new process, return its module and arguments."""
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.SIG_IGN)
    while True:
        message, files, *_ = socket.recv_fds(connection, 1 << 20, 64)
        if not message:
            os._exit(0)
        reader, writer = os.pipe()
        helper = os.fork()
        if helper == 0:
            parent = os.getpid()
            if os.fork():
                os._exit(0)  # the process that was forked is an orphan
            while os.getppid() == parent:
                time.sleep(0.001)
            connection.close()
            os.close(reader)
            module, arguments, folder, environment, numbers, session, ignored = pickle.loads(message)
            if session:
                os.setsid()
            pid = _above(writer)  # where no file of the process will be
            _adopt(folder, environment, dict(zip(numbers, files)), ignored)
            os.write(pid, str(os.getpid()).encode())  # now it can be signaled
            os.close(pid)
            connection = _branch(started)
            if connection is None:
                return module, arguments
            continue
        os.waitpid(helper, 0)
        os.close(writer)
        pid = os.read(reader, 64)
        for file in (reader, *files):
            os.close(file)
        connection.send(pid)


def _above(file):
    """Give an open file a high number, so that the low ones are free."""
    number = fcntl.fcntl(file, fcntl.F_DUPFD, 500)
    os.close(file)
    return number


def _adopt(folder, environment, files, ignored):
    """Take over what a new process is given."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    files = {number: _above(file) for number, file in files.items()}
    for number, file in files.items():
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.SIG_IGN if signal.SIGINT in ignored else signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if signal.SIGTERM in ignored else signal.SIG_DFL)
    sys.modules["numpy"].random.seed()
    if environment.get("PYTHONUNBUFFERED"):
        for name, number in (("stdout", 1), ("stderr", 2)):
            old = getattr(sys, name)
            raw = io.FileIO(number, "wb", closefd=False)
            stream = io.TextIOWrapper(raw, old.encoding, old.errors, write_through=True)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _branch(started):
    """Fork the server for the children of this process: its connection there, and None in this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        install(_Client(ours, started))
        return None
    ours.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.SIG_IGN)
    return theirs


def _undo_imports_outside_of_a_kernel():
    """Where packages look around when they are imported, give them what they would have found in a kernel."""
    import matplotlib
    import pandas

    pandas.set_option("display.max_columns", 20)  # not that of a terminal
    matplotlib.rcParams["backend"] = os.environ.get("MPLBACKEND") or "module://matplotlib_inline.backend_inline"
