"""The command line that benchmarks share; ``test_ceiling.py`` has what each of them prints and writes."""

import pytest
from tool_loader import load_bench

command = load_bench("command")


@pytest.mark.parametrize("given", ["", "h2", "nghttp2,", "nghttp2,h2"])
def test_transports_that_do_not_exist_are_refused(given, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.run("", None, rounds=1, seconds=1, transports=True, given=["--transports", given])
    assert stopped.value.code == 2
    assert "--transports are among nghttp2, grpcio" in capsys.readouterr().err
