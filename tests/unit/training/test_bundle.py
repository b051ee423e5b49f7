from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from features.signals import NAMES, schema_lines
from training.bundle import (
    FORMAT,
    BundleError,
    Calibrator,
    ModelBundle,
    SchemaMismatchError,
)
from training.dataset import Snapshots
from training.train import Trained

FILES = ("booster.txt", "calibrator.json", "signals.json", "certificates.json")
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> ModelBundle:
    """Return a trained bundle whose calibrator has stages."""
    staged = Calibrator(
        kind="platt by stage",
        edges=(4, 10),
        a=(0.9, 1.0, 1.2),
        b=(0.0, 0.0, 0.0),
        c=(-0.3, 0.0, 0.4),
    )
    return replace(trained.bundle, calibrator=staged)


@pytest.fixture
def saved(bundle: ModelBundle, tmp_path: Path) -> Path:
    """Return the directory of a saved bundle."""
    path = tmp_path / "deep" / "bundle"
    bundle.save(path)
    return path


@pytest.fixture(scope="module")
def x(simulated: Snapshots) -> Matrix:
    """Return rows of signals, unknown ones among them."""
    return simulated.x[::41]


# --- there and back ----------------------------------------------------------


def test_a_bundle_is_the_same_after_the_disk(
    bundle: ModelBundle, saved: Path, x: Matrix
) -> None:
    """Loaded again, a bundle equals the saved one and gives the same risks to the bit."""
    again = ModelBundle.load(saved)
    assert again == bundle
    assert (again.digest, again.version, again.base) == (
        bundle.digest,
        bundle.version,
        bundle.base,
    )
    np.testing.assert_array_equal(again.risks(x), bundle.risks(x))
    assert [again.risk(row) for row in x[:50]] == [bundle.risk(row) for row in x[:50]]


def test_a_bundle_is_plain_files(bundle: ModelBundle, saved: Path) -> None:
    """Five files of text: the manifest names the hash of each of the others."""
    assert {p.name for p in saved.iterdir()} == {*FILES, "manifest.json"}
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["format"] == FORMAT
    assert manifest["facts"] == dict(bundle.facts)
    assert manifest["files"] == {
        name: hashlib.sha256((saved / name).read_bytes()).hexdigest() for name in FILES
    }
    whole = (saved / "manifest.json").read_bytes()
    assert bundle.digest == hashlib.sha256(whole).hexdigest()
    assert json.loads((saved / "signals.json").read_text()) == schema_lines()


def test_saving_twice_writes_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    """A loaded bundle writes byte for byte what it was read from."""
    ModelBundle.load(saved).save(tmp_path / "copy")
    for name in (*FILES, "manifest.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("part", ["calibrator", "certificate", "booster", "facts"])
def test_the_digest_names_every_part(bundle: ModelBundle, part: str) -> None:
    """A bundle that differs in any part has another digest."""
    other = {
        "calibrator": {"calibrator": replace(bundle.calibrator, c=(0.0, 0.0, 0.1))},
        "certificate": {"certificate": replace(bundle.certificate, threshold=0.123)},
        "booster": {"booster_text": bundle.booster_text + "\n"},
        "facts": {"facts": {**bundle.facts, "version": "other"}},
    }[part]
    assert replace(bundle, **other).digest != bundle.digest  # type: ignore[arg-type]


# --- numbers -----------------------------------------------------------------


def test_one_row_and_many_give_one_risk(bundle: ModelBundle, x: Matrix) -> None:
    """The risk of a row alone is its risk among others: serving equals training."""
    one = np.array([bundle.risk(row) for row in x])
    np.testing.assert_allclose(one, bundle.risks(x), rtol=1e-15, atol=1e-15)
    assert ((one > 0) & (one < 1)).all()
    assert len(np.unique(one)) > 50


def test_the_risk_is_the_calibrated_score(bundle: ModelBundle, x: Matrix) -> None:
    """Risk is the sigmoid of the calibrator's line at the stage told by `steps`."""
    row = x[7].copy()
    for steps, stage in ((4.0, 0), (5.0, 1), (11.0, 2)):
        row[NAMES.index("steps")] = steps
        a, c = bundle.calibrator.a[stage], bundle.calibrator.c[stage]
        assert bundle.risk(row) == pytest.approx(expit(c + a * bundle.score(row)))


def test_a_task_of_unknown_length_has_one_risk(bundle: ModelBundle, x: Matrix) -> None:
    """Where even the number of steps is unknown, both forms agree on the risk."""
    unknown = np.full_like(x[:1], np.nan)
    assert bundle.risks(unknown)[0] == pytest.approx(bundle.risk(unknown[0]), abs=1e-15)


def test_contributions_and_base_add_up_to_the_score(
    bundle: ModelBundle, x: Matrix
) -> None:
    """What each signal adds, with the base, is the score: nothing is left over."""
    total = bundle.contributions(x).sum(axis=1) + bundle.base
    scores = [bundle.score(row) for row in x]
    np.testing.assert_allclose(total, scores, atol=1e-9)


def test_an_explanation_is_the_contributions_largest_first(
    bundle: ModelBundle, x: Matrix
) -> None:
    """Each signal once, with its value, sorted by how much it moves the score."""
    row = x[3]
    parts = bundle.explain(row)
    assert sorted(part.signal for part in parts) == sorted(NAMES)
    sizes = [abs(part.contribution) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(p.contribution for p in parts) + bundle.base == pytest.approx(
        bundle.score(row), abs=1e-9
    )
    by_name = {part.signal: part for part in parts}
    expected = bundle.contributions(row[None])[0]
    for i, name in enumerate(NAMES):
        assert by_name[name].contribution == pytest.approx(expected[i], abs=1e-12)
        np.testing.assert_equal(by_name[name].value, row[i])


# --- what is not a sound bundle ----------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_changed_byte_is_told_with_both_hashes(
    saved: Path, name: str, where: float
) -> None:
    """A file that is not the one the manifest names is refused, naming both hashes."""
    content = bytearray((saved / name).read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[int(where * (len(content) - 1))] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(BundleError) as caught:
        ModelBundle.load(saved)
    for part in (name, expected, hashlib.sha256(content).hexdigest(), "fetch it anew"):
        assert part in str(caught.value)


def test_no_changed_byte_of_the_manifest_does_worse_than_an_error(saved: Path) -> None:
    """Whichever byte of the manifest changes, the bundle is refused or is another.

    The manifest's own hash is the bundle's digest: who pins that notices any change.
    """
    path, sound = saved / "manifest.json", (saved / "manifest.json").read_bytes()
    digest = ModelBundle.load(saved).digest
    refused = 0
    for i in range(len(sound)):
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 1]) + sound[i + 1 :])
        try:
            found = ModelBundle.load(saved)
        except BundleError:
            refused += 1
        else:
            assert found.digest != digest
            assert found.version
            assert np.isfinite(found.base)
    assert refused > 300  # at the least each character of the four hashes


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    """A bundle that lacks a file is refused, naming it and what to do."""
    (saved / name).unlink()
    with pytest.raises(BundleError, match=rf"lacks {name}; copy the whole directory"):
        ModelBundle.load(saved)


def test_what_is_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    """A directory without a readable manifest is refused, naming the verb."""
    with pytest.raises(BundleError, match="`escalon train` writes one"):
        ModelBundle.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        ModelBundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="cannot be read"):
        ModelBundle.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "3",
        "{}",
        '{"format": "escalon.bundle/0"}',
        '{"format": "escalon.bundle/1"}',
        '{"format": "escalon.bundle/1", "files": [], "facts": {}}',
        '{"format": "escalon.bundle/1", "files": {}, "facts": {"version": "1"}}',
        '{"format": "escalon.bundle/1", "files": {}, "facts": 3}',
    ],
)
def test_another_format_is_refused(saved: Path, content: str) -> None:
    """A manifest of another format or without its parts is refused, not guessed at."""
    (saved / "manifest.json").write_text(content)
    with pytest.raises(BundleError):
        ModelBundle.load(saved)


def test_the_other_format_is_named(saved: Path) -> None:
    """The refusal says which format is read and which was found."""
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["format"] = "escalon.bundle/2"
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=rf"{FORMAT}, found 'escalon.bundle/2'"):
        ModelBundle.load(saved)


def changed(lines: list[str]) -> list[str]:
    """Return a schema in which one signal has the other direction."""
    return [
        line.replace("direction=1", "direction=0", 1)
        if line.startswith("tool_errors ")
        else line
        for line in lines
    ]


def renamed(lines: list[str]) -> list[str]:
    """Return a schema in which one signal has another name."""
    return [line.replace("tool_errors ", "tool_faults ") for line in lines]


def without(lines: list[str]) -> list[str]:
    """Return a schema that lacks one signal."""
    return [line for line in lines if not line.startswith("tool_errors ")]


@pytest.mark.parametrize("change", [changed, renamed, without])
def test_other_signals_are_told_as_a_diff(
    bundle: ModelBundle, tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    """A bundle for other signals is refused with a diff that names the signal."""
    lines = change(schema_lines())
    assert lines != schema_lines()
    replace(bundle, signals=tuple(lines)).save(tmp_path / "b")
    with pytest.raises(SchemaMismatchError) as caught:
        ModelBundle.load(tmp_path / "b")
    message = str(caught.value).splitlines()
    assert "train it anew" in message[0]
    added = [line for line in message if line.startswith("+tool_errors ")]
    removed = [line for line in message if line.startswith("-tool_")]
    assert len(added) == 1
    assert len(removed) == (change is not without)
    assert len(message) < 20


def test_order_is_part_of_the_schema(bundle: ModelBundle, tmp_path: Path) -> None:
    """The same signals in another order are other signals."""
    replace(bundle, signals=tuple(schema_lines()[::-1])).save(tmp_path / "b")
    with pytest.raises(SchemaMismatchError):
        ModelBundle.load(tmp_path / "b")


# --- no pickle ---------------------------------------------------------------

WATCH = """
import collections, pathlib, pickle, sys
import numpy as np
from training.bundle import ModelBundle

seen = []
def watch(event, args):
    if event == "pickle.find_class":
        seen.append(event)
    if event == "open" and str(args[0]).endswith((".pkl", ".pickle", ".joblib")):
        seen.append(event)
sys.addaudithook(watch)
bundle = ModelBundle.load(pathlib.Path(sys.argv[1]))
row = np.zeros(len(bundle.signals))
bundle.risk(row), bundle.risks(row[None]), bundle.explain(row)
print(len(seen))
# What the watch is for: it sees both ways in.
pickle.loads(pickle.dumps(collections.OrderedDict()))
pathlib.Path(sys.argv[1], "x.pkl").write_bytes(b"")
print(len(seen))
"""


def test_no_pickle_is_ever_read(saved: Path) -> None:
    """Loading and using a bundle unpickles nothing, under a watch that would see it."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(saved)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(line) for line in done.stdout.split()] == [0, 2]
