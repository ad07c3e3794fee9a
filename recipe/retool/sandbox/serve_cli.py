"""``retool sandbox serve``: a server in the foreground, ready for a supervisor."""

import argparse
import sys
from typing import TYPE_CHECKING

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.access import FORMATS, configure_logs
from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.auth import is_loopback, read_token
from recipe.retool.sandbox.embedded import address, listen
from recipe.retool.sandbox.policy import load_policy
from recipe.retool.sandbox.policy_runner import PolicyRunner
from recipe.retool.sandbox.procs import adopt_orphans
from recipe.retool.sandbox.server import serve
from recipe.retool.sandbox.sessions import SessionLimits
from recipe.retool.sandbox.settings import ServerSettings, default_workers
from recipe.retool.sandbox.wire import TOKEN_VARIABLE
from recipe.retool.sandbox.zygote.choice import IsolationMode, choose_runner

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_serve(verbs: "Verbs") -> None:
    """Add the verb to a parser; its function is ``run`` of the parsed arguments."""
    one = verbs.add_parser("serve", help="run a sandbox server in the foreground")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")
    workers = "programs that run at once (default: 64, or 8 for each core, up to 512; the cores with "
    one.add_argument("--workers", type=int, help=workers + "--isolation process)")
    one.add_argument("--python", default=sys.executable, help="interpreter of the programs")
    one.add_argument(
        "--isolation",
        default=IsolationMode.AUTO.value,
        choices=[mode.value for mode in IsolationMode],
        help="namespaces, or container (root without namespaces): or do not start; process: limits only; "
        "auto (default): the first of them that works",
    )
    _add_access(one)
    _add_logs(one)
    one.add_argument("--policy", metavar="FILE.yaml|default", help="refuse programs by what they import")
    one.add_argument("--max-queue", type=int, default=1024, help="requests that may wait (default: 1024)")
    one.add_argument("--max-wait", type=float, default=60.0, help="seconds they may wait (default: 60)")
    _add_sessions(one)
    drain = "seconds that running programs have to finish after SIGTERM (default: 30)"
    one.add_argument("--drain", type=float, default=30.0, help=drain)
    one.set_defaults(run=_serve)


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    most, limits = "sessions that may be open at once (default: %(default)s)", SessionLimits()
    parser.add_argument("--max-sessions", type=int, default=limits.most, metavar="N", help=most)
    life = "longest life of a session in seconds (default: %(default)g)"
    parser.add_argument("--session-seconds", type=float, default=limits.seconds, metavar="S", help=life)
    idle = "seconds after which a session that nobody uses is ended (default: %(default)g)"
    parser.add_argument("--session-idle", type=float, default=limits.idle_seconds, metavar="S", help=idle)


def _add_access(parser: argparse.ArgumentParser) -> None:
    token = f"file with the token that callers must show (or the variable {TOKEN_VARIABLE})"
    parser.add_argument("--token-file", metavar="FILE", help=token)
    remote = "listen beyond loopback without a token: for callers that cannot send one, on a private network"
    parser.add_argument("--allow-remote", action="store_true", help=remote)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    levels = ["debug", "info", "warning", "error"]
    parser.add_argument("--log-level", default="info", choices=levels, help="info: one line a request")
    parser.add_argument("--log-format", default="text", choices=FORMATS)
    parser.add_argument("--log-code", action="store_true", help="log the programs too")


def _serve(args: argparse.Namespace) -> int:
    _refuse_nonsense(args)
    token = read_token(args.token_file)
    if not is_loopback(args.host) and not token and not args.allow_remote:
        raise SandboxError(
            f"refusing to listen on {args.host} without a token: whoever reaches this server runs code on "
            f"this machine, isolated as far as --isolation says. Set {TOKEN_VARIABLE} or --token-file; "
            "--allow-remote does without"
        )
    policy = load_policy(args.policy) if args.policy else None
    sock = listen(args.host, args.port)
    configure_logs(args.log_level, args.log_format)
    runner = choose_runner(IsolationMode(args.isolation), args.python, adopt_orphans())
    limits = AdmissionLimits(args.workers or default_workers(runner), args.max_queue, args.max_wait)
    sys.stdout.write(f"sandbox on {address(sock)} with {limits.workers} workers; Ctrl-C stops it\n")
    sys.stdout.flush()
    sessions = SessionLimits(args.max_sessions, args.session_seconds, args.session_idle)
    settings = ServerSettings(limits, args.drain, token, args.log_code, sessions)
    serve(sock, runner if policy is None else PolicyRunner(runner, policy), settings)
    return 0


def _refuse_nonsense(args: argparse.Namespace) -> None:
    if args.workers is not None and args.workers < 1:
        raise SandboxError(f"--workers {args.workers} must be 1 or more")
    if args.max_queue < 0 or not args.max_wait > 0:
        raise SandboxError("--max-queue must be 0 or more and --max-wait greater than 0")
    if args.max_sessions < 0 or not min(args.session_seconds, args.session_idle) > 0:
        raise SandboxError(
            "--max-sessions must be 0 or more, --session-seconds and --session-idle greater than 0"
        )
    if not args.drain >= 0:
        raise SandboxError("--drain must be 0 or more")
