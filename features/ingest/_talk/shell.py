"""What a shell command does, and whether its output says that it failed."""

from __future__ import annotations

import re

from features.ingest._talk.content import reads_as_error


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRITES = _words(
    "apply_patch chmod chown cp create dd edit insert kill ln make mkdir mv patch "
    "pkill rm rmdir rsync str_replace submit tee touch truncate undo_edit unzip "
    "useradd wget"
)
_READS = _words(
    "awk cat cd cmp cut date df diff du echo egrep env export fgrep file filemap "
    "find find_file goto grep head help history id less ls more nl open printf ps "
    "pwd readlink rg scroll_down scroll_up search_dir search_file sort stat tail "
    "tree true type uname uniq view wc which whoami"
)
_PARTS_WRITE = {
    "apt": _words("install remove purge upgrade update"),
    "apt-get": _words("install remove purge upgrade update"),
    "conda": _words("create install remove update"),
    "git": _words(
        "add am apply branch checkout cherry-pick clean clone commit init merge mv "
        "pull push rebase reset restore revert rm stash switch tag"
    ),
    "npm": _words("ci install uninstall update publish"),
    "pip": _words("install uninstall"),
    "str_replace_editor": _words("create insert str_replace undo_edit"),
    "str_replace_based_edit_tool": _words("create insert str_replace undo_edit"),
    "yarn": _words("add install remove upgrade"),
}
_PARTS_READ = {
    "git": _words("blame diff grep log ls-files rev-parse show status"),
    "pip": _words("check freeze list show"),
    "str_replace_editor": _words("view"),
    "str_replace_based_edit_tool": _words("view"),
}
_IN_PLACE = re.compile(r"\A(?:sed|perl)\b.*?\s-\w*i", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
_HEREDOC = re.compile(
    r"(<<-?\s*['\"]?(\w+)['\"]?[^\n]*)\n.*?^\2$", re.DOTALL | re.MULTILINE
)
_TO_FILE = re.compile(r"(?<![<>&\d])\d?>>?\s*(?!/dev/null|&)[\w./~$\"'-]")
_BETWEEN = re.compile(r"&&|\|\||[;|\n]")
_LONGEST = 5_000  # characters of a command that are read for what it does

_FAILED = re.compile(
    r"^Traceback \(most recent call last\)"
    r"|^(?:/bin/|/usr/bin/)?(?:ba|da|z)?sh: (?:line \d+: )?.*"
    r"(?:not found|No such file or directory|Permission denied|syntax error)"
    r"|^[\w./-]+: .*(?:No such file or directory|Permission denied)$"
    r"|introduced new syntax error"
    r"|\A\W*(?:EXECUTION TIMED OUT|Command timed out|The command .* timed out)",
    re.MULTILINE,
)
_EXIT = re.compile(
    r"<returncode>\s*(-?\d+)\s*</returncode>"
    r"|\[?(?:exit(?:ed)?(?: with)? (?:code|status)|return code)[:= ]+(-?\d+)\]?\s*\Z",
    re.IGNORECASE,
)


def first_word(command: str) -> str:
    """Return the program that `command` names first, without its path.

    Examples
    --------
    >>> first_word("  /usr/bin/git commit -m x"), first_word("")
    ('git', '')
    """
    words = command[:_LONGEST].split(None, 1)
    return words[0].rstrip(";").rpartition("/")[2] if words else ""


def writes(command: str) -> bool | None:
    """Return whether `command` changes something; None where that cannot be told.

    It does if any of its parts does: a program that writes, one in place, or output
    sent to a file. It reads if all of its parts are known to. A script may do either.

    Examples
    --------
    >>> writes("cd src && git commit -am fix"), writes("cat a.py | head"), writes("./x")
    (True, False, None)
    """
    bare = _HEREDOC.sub(r"\1", command[:_LONGEST])
    bare = _QUOTED.sub("''", bare)
    parts = [part.strip() for part in _BETWEEN.split(bare)]
    told = [_part_writes(part) for part in parts if part]
    if _TO_FILE.search(bare) or any(told):
        return True
    return None if not told or None in told else False


def _part_writes(part: str) -> bool | None:
    program = first_word(part)
    if program in {"sed", "perl"}:
        return True if _IN_PLACE.match(part) else None
    if program in _WRITES | _READS:
        return program in _WRITES
    known = dict.fromkeys(_PARTS_WRITE.get(program, ()), True)
    known |= dict.fromkeys(_PARTS_READ.get(program, ()), False)
    return next((known[word] for word in part.split()[1:] if word in known), None)


def failed(output: str) -> bool:
    """Return whether `output` says that the command failed.

    By its exit code where it tells one, else by its own words: an error at the begin, a
    traceback, a program or file that is not there, a time limit.
    """
    codes = [next(filter(None, found)) for found in _EXIT.findall(output)]
    if codes:
        return int(codes[-1]) != 0
    return reads_as_error(output) or _FAILED.search(output) is not None
