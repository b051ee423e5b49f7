from __future__ import annotations

import pytest

from features.ingest._talk.shell import failed, first_word, writes


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("rm -rf x", True),
        ("cd a && git commit -am 'x; y'", True),
        ("git -C . push", True),
        ("git log --oneline | head -3", False),
        ("sed -i 's/a/b/' f.py", True),
        ("sed -n 1,3p f.py", None),
        ("echo hi > f", True),
        ("cat <<'EOF' > f.py\nrm x\nEOF", True),
        ("grep '>' f 2>/dev/null", False),
        ("ls 2>&1", False),
        ("python x.py", None),
        ("pytest; ls", None),
        ("str_replace_editor view /a", False),
        ("str_replace_editor create /a --file_text 'x'", True),
        ("open a.py 12", False),
        ("pip list", False),
        ("pip install x", True),
        ("", None),
    ],
)
def test_what_a_command_does_is_told_by_its_parts(
    command: str, *, told: bool | None
) -> None:
    """One part that writes decides; unknown programs may do either."""
    assert writes(command) is told


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("a\nTraceback (most recent call last):\n", True),
        ("bash: foo: command not found", True),
        ("/bin/sh: line 1: foo: not found", True),
        ("cat: x: No such file or directory", True),
        ("ERROR: no", True),
        ("EXECUTION TIMED OUT because", True),
        ("Your proposed edit has introduced new syntax error(s).", True),
        ("<returncode>2</returncode>", True),
        ("<returncode>0</returncode>\nTraceback (most recent call last):", False),
        ("ran\n[exit code: 1]", True),
        ("ran\nexit status 0\n", False),
        ("the docs speak of exit code 3 here", False),
        ("All tests passed, no errors", False),
        ("", False),
    ],
)
def test_failure_is_told_by_exit_code_or_words(output: str, *, told: bool) -> None:
    """A known exit code outranks the words."""
    assert failed(output) is told


def test_first_word_is_the_program() -> None:
    """Paths and marks around a program's name are not part of it."""
    assert first_word("/usr/bin/env python") == "env"
    assert first_word(" ls;") == "ls"
