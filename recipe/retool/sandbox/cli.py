"""``retool sandbox serve`` and ``retool sandbox check``."""

import argparse
import ipaddress
import sys

from recipe.retool.errors import ConfigError, SandboxError
from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.check import check
from recipe.retool.sandbox.embedded import address, listen, usable_cores
from recipe.retool.sandbox.policy import load_policy
from recipe.retool.sandbox.server import serve
from recipe.retool.sandbox.zygote.choice import IsolationMode


def main(argv: list[str]) -> int:
    """Run one of the two verbs; returns the exit code (0 fine, 1 a check failed, 2 could not start)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (ConfigError, SandboxError) as error:
        _say(f"error: {error}", to_stderr=True)
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retool sandbox", description="The code sandbox.")
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("serve", help="run a sandbox server in the foreground")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")
    one.add_argument("--workers", type=int, default=usable_cores(), help="programs that run at once")
    one.add_argument("--python", default=sys.executable, help="interpreter of the programs")
    one.add_argument(
        "--isolation",
        default=IsolationMode.AUTO.value,
        choices=[mode.value for mode in IsolationMode],
        help="namespaces: or do not start; process: limits only; auto (default): namespaces where they work",
    )
    one.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    one.add_argument("--allow-remote", action="store_true", help="allow a host other than loopback")
    one.add_argument("--policy", metavar="FILE.yaml|default", help="refuse programs by what they import")
    one.add_argument("--max-queue", type=int, default=1024, help="requests that may wait (default: 1024)")
    one.add_argument("--max-wait", type=float, default=60.0, help="seconds they may wait (default: 60)")
    one.set_defaults(run=_serve)
    two = verbs.add_parser("check", help="ask a server whether it works")
    two.add_argument("url", help="address; several with commas between them")
    two.set_defaults(run=lambda args: check(args.url, _say))
    return parser


def _serve(args: argparse.Namespace) -> int:
    if not _is_loopback(args.host) and not args.allow_remote:
        raise SandboxError(
            f"refusing to listen on {args.host}: whoever reaches this server runs code on this "
            "machine, isolated as far as --isolation says; --allow-remote does it all the same"
        )
    if args.workers < 1:
        raise SandboxError(f"--workers {args.workers} must be 1 or more")
    if args.max_queue < 0 or not args.max_wait > 0:
        raise SandboxError("--max-queue must be 0 or more and --max-wait greater than 0")
    policy = load_policy(args.policy) if args.policy else None
    limits = AdmissionLimits(args.workers, args.max_queue, args.max_wait)
    sock = listen(args.host, args.port)
    _say(f"sandbox on {address(sock)} with {args.workers} workers; Ctrl-C stops it")
    isolation = IsolationMode(args.isolation)
    serve(sock, args.workers, args.python, args.log_level, policy=policy, limits=limits, isolation=isolation)
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(text: str, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text + "\n")
    stream.flush()
