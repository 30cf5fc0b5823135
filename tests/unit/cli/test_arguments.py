"""Goal: a wrong command line is one helpful line and exit code 2, for every program alike; errors keep their exit codes.

Method: parsers and run_program called as the programs call them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

import dfs
from dfs.cli.arguments import check_data_ports, make_parser, parse_address, parse_port, run_program
from dfs.core.errors import ExitCode, WrongServer
from dfs.core.start_errors import ConfigError, MountPointError, UsageError


def parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser("prog", "Does something.")
    parser.add_argument("port", type=parse_port, metavar="PORT")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(argv)


@pytest.mark.parametrize("argv", [[], ["x"], ["1", "2"], ["1", "--verb"], ["0"], ["65536"], ["-1"], ["1.5"], ["٣"], [" 1"]])
def test_wrong_arguments_are_one_line_and_exit_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("prog", lambda: len(vars(parse(argv)))) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("prog: expected ")
    assert ", got" in line


@pytest.mark.parametrize("text", ["1", "65535", "9000"])
def test_good_port_is_taken(text: str) -> None:
    assert parse([text]).port == int(text)


def test_version_names_program_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"prog (dfs) {dfs.__version__}\n"


@pytest.mark.parametrize("text", ["localhost:9000", "127.0.0.1:1"])
def test_good_address_is_taken(text: str) -> None:
    assert parse_address(text) == text


@pytest.mark.parametrize("text", ["", "localhost", ":9000", "localhost:", "localhost:x", "a b:9000", "localhost:70000"])
def test_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


def test_data_ports_must_be_two_and_all_different() -> None:
    assert check_data_ports([9100, 9101], meta_port=9000) == (9100, 9101)
    for ports in ([], [9100], [9100, 9100], [9100, 9000]):
        with pytest.raises(UsageError):
            check_data_ports(ports, meta_port=9000)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x", "y"), 2),
        (ConfigError("x", "y"), 3),
        (WrongServer("x", "y"), 4),
        (MountPointError("x", "two\nlines"), 7),
    ],
)
def test_expected_error_is_its_message_and_its_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise error

    assert run_program("prog", body) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_bug_shows_its_traceback_and_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise ZeroDivisionError("x")

    assert run_program("prog", body) == 1
    assert "Traceback" in capsys.readouterr().err


def test_reader_that_leaves_early_gets_no_traceback() -> None:
    program = "import sys; from dfs.cli.arguments import run_program; sys.exit(run_program('p', lambda: print('x' * 100_000) or 0))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
