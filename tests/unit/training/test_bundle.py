from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from features.signals import NAMES, SIGNALS, schema_lines
from training import model
from training.bundle import (
    FORMAT,
    MOST_SAID,
    WORDS,
    BundleError,
    Calibrator,
    ModelBundle,
    SchemaMismatchError,
    Sureness,
    Twin,
)
from training.dataset import Snapshots
from training.model import Recipe
from training.train import Order, Trained, fit_bundle
from training.twin import without

FILES = (
    "booster.txt",
    "floor.txt",
    "scorer.json",
    "calibrator.json",
    "sureness.json",
    "signals.json",
    "certificates.json",
    "reference.json",
)
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
    assert trained.bundle.floor is not None
    twin = trained.bundle.scorer.twin or Twin(
        centre=(0.0,) * len(NAMES),
        scale=(1.0,) * len(NAMES),
        weight=(0.0,) * len(NAMES),
        if_unknown=(0.0,) * len(NAMES),
        intercept=-1.0,
    )
    return replace(
        trained.bundle,
        calibrator=staged,
        reference={"signals": {"steps": [1.0, 2.5]}},
        scorer=replace(trained.bundle.scorer, twin=twin, share=0.3),
        floor=replace(trained.bundle.floor, twin=without(twin, WORDS), share=0.3),
    )


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
    assert [again.between(row) for row in x[:9]] == [bundle.between(r) for r in x[:9]]


def test_a_bundle_without_a_floor_has_no_file_of_one(
    bundle: ModelBundle, tmp_path: Path, x: Matrix
) -> None:
    """Where nothing bounds the agent's words, there is no floor.txt, there and back."""
    bare = replace(bundle, floor=None)
    bare.save(tmp_path / "b")
    assert not (tmp_path / "b" / "floor.txt").exists()
    again = ModelBundle.load(tmp_path / "b")
    assert again == bare
    np.testing.assert_array_equal(again.scores(x), bundle.scorer.scores(x))


def test_a_bundle_is_plain_files(bundle: ModelBundle, saved: Path) -> None:
    """Files of text only: the manifest names the hash of each of the others."""
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


def others(bundle: ModelBundle) -> dict[str, dict[str, Any]]:
    """Return for each part of a bundle another one of its kind."""
    scorer, floor, twin = bundle.scorer, bundle.floor, bundle.scorer.twin
    assert floor is not None
    assert twin is not None
    text = scorer.booster_text + "\n"
    return {
        "calibrator": {"calibrator": replace(bundle.calibrator, c=(0.0, 0.0, 0.1))},
        "expected": {"calibrator": replace(bundle.calibrator, expected=0.2)},
        "is_beta": {"calibrator": replace(bundle.calibrator, is_beta=True)},
        "sureness": {"sureness": Sureness(edges=(), low=(0.1,), high=(0.2,))},
        "certificate": {"certificate": replace(bundle.certificate, threshold=0.123)},
        "segments": {"segments": (replace(bundle.certificate, segment="domain=x"),)},
        "booster": {"scorer": replace(scorer, booster_text=text)},
        "base": {"scorer": replace(scorer, base=0.25)},
        "share": {"scorer": replace(scorer, share=0.31)},
        "twin": {"scorer": replace(scorer, twin=replace(twin, intercept=0.25))},
        "no floor": {"floor": None},
        "floor": {"floor": replace(floor, booster_text=text)},
        "share of floor": {"floor": replace(floor, share=0.31)},
        "reference": {"reference": {}},
        "facts": {"facts": {**bundle.facts, "version": "other"}},
    }


PARTS = (
    "calibrator",
    "expected",
    "is_beta",
    "sureness",
    "certificate",
    "segments",
    "booster",
    "base",
    "share",
    "twin",
    "no floor",
    "floor",
    "share of floor",
    "reference",
    "facts",
)


@pytest.mark.parametrize("part", PARTS)
def test_the_digest_names_every_part(bundle: ModelBundle, part: str) -> None:
    """A bundle that differs in any part has another digest."""
    parts = others(bundle)
    assert set(parts) == set(PARTS)
    assert replace(bundle, **parts[part]).digest != bundle.digest


def test_each_file_is_read_again(bundle: ModelBundle, tmp_path: Path) -> None:
    """What a bundle is made of comes back from its files, whatever stands in them."""
    for i, part in enumerate(PARTS):
        other = replace(bundle, **others(bundle)[part])
        other.save(tmp_path / str(i))
        assert ModelBundle.load(tmp_path / str(i)) == other


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


# --- the floor ---------------------------------------------------------------

VALUES = st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), 0.0, 0.5, 1.0, 3.0])
said = st.fixed_dictionaries(dict.fromkeys(WORDS, VALUES))
# Seldom does a task reach a bound by itself: these pull the agent's words apart.
_PULL = 40.0


@pytest.fixture(scope="module")
def talkative(bundle: ModelBundle) -> ModelBundle:
    """Return a bundle that the agent's words would move at will but for its floor."""
    twin = bundle.scorer.twin
    assert twin is not None
    weight = [_PULL * (-1) ** i if i in WORDS else w for i, w in enumerate(twin.weight)]
    eager = replace(twin, weight=tuple(weight))
    return replace(bundle, scorer=replace(bundle.scorer, twin=eager))


def spoken(row: Matrix, words: Mapping[int, float]) -> Matrix:
    """Return signals in which the agent's words are `words`."""
    other = row.copy()
    for place, value in words.items():
        other[place] = value
    return other


@given(said, st.integers(0, 99))
@pytest.mark.parametrize("which", ["bundle", "talkative"])
def test_no_words_move_the_score_by_more_than_they_may(
    request: pytest.FixtureRequest,
    x: Matrix,
    which: str,
    words: dict[int, float],
    place: int,
) -> None:
    """Whatever the agent says, the score is that of its acts and a little at most."""
    found: ModelBundle = request.getfixturevalue(which)
    assert found.floor is not None
    row = x[place % len(x)]
    other = spoken(row, words)
    floor = float(found.floor.scores(row[None])[0])
    assert float(found.floor.scores(other[None])[0]) == floor
    assert floor <= found.score(other) <= floor + MOST_SAID
    unbounded = float(found.scorer.scores(other[None])[0])
    assert found.score(other) == pytest.approx(
        min(max(unbounded, floor), floor + MOST_SAID)
    )


@given(said, st.integers(0, 99))
def test_an_explanation_adds_up_where_the_floor_holds(
    talkative: ModelBundle, x: Matrix, words: dict[int, float], place: int
) -> None:
    """Contributions and base are the score, whether the floor holds it up or not."""
    row = spoken(x[place % len(x)], words)
    parts = talkative.explain(row)
    total = sum(part.contribution for part in parts) + talkative.base
    assert total == pytest.approx(talkative.score(row), abs=1e-8)
    alone = talkative.contributions(row[None])[0]
    by_name = {part.signal: part.contribution for part in parts}
    assert [by_name[name] for name in NAMES] == pytest.approx(list(alone), abs=1e-8)


def test_where_the_floor_holds_acts_count_as_the_floor_counts_them(
    talkative: ModelBundle, x: Matrix
) -> None:
    """There, what was observed adds what it adds to the floor, and words the rest."""
    assert talkative.floor is not None
    unbounded, floor = talkative.scorer.scores(x), talkative.floor.scores(x)
    lowered, raised = unbounded < floor, unbounded > floor + MOST_SAID
    assert lowered.sum() > 5
    assert raised.sum() > 5
    held = lowered | raised
    observed = np.setdiff1d(np.arange(len(NAMES)), WORDS)
    parts = talkative.contributions(x)
    np.testing.assert_allclose(
        parts[held][:, observed],
        talkative.floor.contributions(x[held])[:, observed],
        atol=1e-9,
    )
    free = talkative.scorer.contributions(x[~held])
    np.testing.assert_allclose(parts[~held], free, atol=1e-9)
    total = parts.sum(axis=1) + talkative.base
    np.testing.assert_allclose(total, talkative.scores(x), atol=1e-8)


def test_words_can_raise_the_score_a_little_and_never_lower_it(
    talkative: ModelBundle, x: Matrix
) -> None:
    """An agent that doubts itself is heard; one that praises itself is not."""
    assert talkative.floor is not None
    above = talkative.scores(x) - talkative.floor.scores(x)
    assert above.min() == 0
    assert above.max() == pytest.approx(MOST_SAID)


CONSTRAINED = [(i, s.direction) for i, s in enumerate(SIGNALS) if s.direction]


@given(st.integers(0, 99), st.sampled_from(CONSTRAINED), st.tuples(VALUES, VALUES))
def test_directions_hold_for_the_whole(
    bundle: ModelBundle,
    x: Matrix,
    place: int,
    constrained: tuple[int, int],
    pair: tuple[float, float],
) -> None:
    """Booster, twin and floor together never go against a signal's direction."""
    column, direction = constrained
    both = np.repeat(x[[place % len(x)]], 2, axis=0)
    both[:, column] = np.sort(np.nan_to_num(pair))
    before, after = bundle.scores(both)
    assert (after - before) * direction >= -1e-9


def test_how_sure_one_can_be_is_told_of_the_score(
    bundle: ModelBundle, x: Matrix
) -> None:
    """The two risks are those of the bin that the bounded score falls into."""
    low, high = bundle.sureness.between(bundle.scores(x))
    for row, expected in zip(
        x[:20], zip(low[:20], high[:20], strict=True), strict=True
    ):
        assert bundle.between(row) == expected


# --- made again --------------------------------------------------------------


def test_a_bundle_is_made_again_to_the_bit(
    simulated: Snapshots,
    order: Order,
    quick: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same data and seed give the same bytes, in one process or in several."""
    first = np.unique(simulated.task_ids)[:120]
    few = simulated.where(np.isin(simulated.task_ids, first))
    plain = replace(order, recipe=replace(quick, rounds=8), progress=lambda _: None)
    made = [fit_bundle(few, None, plain)]
    monkeypatch.setattr(model, "_WORTH_PROCESSES", 10)
    monkeypatch.setattr(model, "cores", lambda: 2)
    made.append(fit_bundle(few, None, plain))
    when = {"made_at": "2026-01-31T09:00:00Z", "version": "2026-01-31-0"}
    one, two = (replace(b, facts={**b.facts, **when}) for b in made)
    assert one.digest == two.digest
    differs = {key for key in made[0].facts if made[0].facts[key] != made[1].facts[key]}
    assert differs <= {"made_at", "version"}
    monkeypatch.undo()
    other = replace(plain, recipe=replace(plain.recipe, seed=1))
    assert fit_bundle(few, None, other).scorer != one.scorer


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
    every = range(0, len(sound), 5)
    for i in every:
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 1]) + sound[i + 1 :])
        try:
            found = ModelBundle.load(saved)
        except BundleError:
            refused += 1
        else:
            assert found.digest != digest
            assert found.version
            assert np.isfinite(found.base)
    assert refused > 100  # at the least each fifth character of the eight hashes


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
        '{"format": "escalon.bundle/2", "files": [], "facts": {}}',
        '{"format": "escalon.bundle/2", "files": {}, "facts": {"version": "1"}}',
        '{"format": "escalon.bundle/2", "files": {}, "facts": 3}',
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
    manifest["format"] = "escalon.bundle/1"
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=rf"{FORMAT}, found 'escalon.bundle/1'"):
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


def lacking(lines: list[str]) -> list[str]:
    """Return a schema that lacks one signal."""
    return [line for line in lines if not line.startswith("tool_errors ")]


@pytest.mark.parametrize("change", [changed, renamed, lacking])
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
    assert len(removed) == (change is not lacking)
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
