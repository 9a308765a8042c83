"""A skip is a failure however the tests are run: in one process or spread over many."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parent / "conftest.py"
PASSES = "def test_passes():\n    pass\n"
SKIPPED_TEST = "import pytest\ndef test_a():\n    pytest.skip('no part')\n" + PASSES
SKIPPED_MODULE = "import pytest\npytest.importorskip('no_such_part')\n" + PASSES
MARKED = "import pytest\n@pytest.mark.skipif(True, reason='no part')\ndef test_a():\n    pass\n" + PASSES


@pytest.mark.parametrize(
    ("text", "workers", "code"),
    [
        (PASSES, "1", pytest.ExitCode.OK),
        (SKIPPED_TEST, "2", pytest.ExitCode.TESTS_FAILED),
        (SKIPPED_MODULE, "1", pytest.ExitCode.TESTS_FAILED),
        (SKIPPED_TEST, "0", pytest.ExitCode.TESTS_FAILED),
        (MARKED, "0", pytest.ExitCode.TESTS_FAILED),
    ],
)
def test_a_run_that_left_something_out_fails(
    tmp_path: Path, text: str, workers: str, code: pytest.ExitCode
) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_planted.py").write_text(text)
    (tmp_path / "test_beside.py").write_text(PASSES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert ("skipped" in run.stdout) == (code != pytest.ExitCode.OK)
