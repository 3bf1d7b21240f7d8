"""Accounts of findings in real files: what came before and after an attack, a server's incident, and what a photo cannot tell."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.reply import Reply
from agent.session import Session
from agent.verify import check_sentence

DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.data
HIDDEN = ("label", "key", "harness", "rule", "retimed", "scenario")


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"real data set {name} not found under TELLTALE_DATA")


def why(home: Path, files: Sequence[Path], normal: Sequence[Path]) -> Reply:
    """The answer to "why did it happen?", every sentence of every account held against its evidence."""
    session = Session(home=home)
    list(session.ask("what is wrong here?", files=files, normal=normal))
    *_, reply = session.ask("why did it happen?")
    session.close()
    assert isinstance(reply, Reply)
    assert reply.removed == ()
    assert reply.accounts
    known = {e.id: e for e in reply.evidence}
    for account in reply.accounts:
        single = [s for s in (account.what, account.where, account.when, account.why) if s is not None]
        for statement in (*single, *account.story):
            check = check_sentence(statement.text, known)
            assert check.holds, (statement.text, check.problems)
    return reply


@needs("otrf_sysmon")
@pytest.mark.timeout(240)
def test_an_attack_is_traced_to_the_download_and_to_what_its_payload_did(tmp_path: Path) -> None:
    root = DATA / "otrf_sysmon"
    capture = pl.read_parquet(root / "lsass01_mimikatz.parquet").filter(pl.col("harness") == 0)
    truth = dict(zip(range(1, capture.height + 1), capture["label"].to_list(), strict=True))
    capture.drop(HIDDEN, strict=False).write_parquet(tmp_path / "capture.parquet")
    normal = []
    for other in ("lsass02_procdump", "lsass03_comsvcs", "lsass04_outminidump"):
        normal.append(tmp_path / f"{other}.parquet")
        pl.read_parquet(root / f"{other}.parquet").filter((pl.col("label") == 0) & (pl.col("harness") == 0)).write_parquet(
            normal[-1]
        )
    reply = why(tmp_path / "home", [tmp_path / "capture.parquet"], normal)
    worst = max(reply.accounts, key=lambda a: a.severity_score)
    print(worst.cause[0].text, worst.effect[0].text, sep="\n")
    known = {e.id: e for e in reply.evidence}
    before, after = (known[side[0].evidence[0]].facts["did"] for side in (worst.cause, worst.effect))
    assert any("winx64_payload.exe" in said for _, _, said in before)  # type: ignore[union-attr]
    rows = [row for row, _, _ in after]  # type: ignore[union-attr]
    print(f"effects: {sum(truth[row] for row in rows)} of {len(rows)} rows belong to the attack")
    assert sum(truth[row] for row in rows) >= len(rows) / 2
    upkeep = [a for a in reply.accounts if any("CompatTelRunner" in s.text for s in a.innocent)]
    assert all("winx64_payload" not in a.what.text for a in upkeep)


@needs("smd")
def test_a_servers_incident_says_what_it_shows_and_what_not(tmp_path: Path) -> None:
    with np.load(DATA / "smd" / "machine-1-6.npz", allow_pickle=False) as machine:
        train, test = machine["train"], machine["test"]
    names = [f"metric_{i}" for i in range(1, 39)]
    pl.DataFrame(test[:4000], schema=names).write_parquet(tmp_path / "now.parquet")
    pl.DataFrame(train, schema=names).write_parquet(tmp_path / "history.parquet")
    for account in why(tmp_path / "home", [tmp_path / "now.parquet"], [tmp_path / "history.parquet"]).accounts:
        print(*(s.text for s in account.story), sep="\n")
        assert account.cause or account.insufficient
        assert all("order in time" in s.text for s in account.cause)


@needs("mvtec_bottle")
def test_broken_bottles_are_not_excused_by_light_focus_or_glare(tmp_path: Path) -> None:
    root = DATA / "mvtec_bottle"
    broken = [sorted((root / "test" / kind).glob("*"))[0] for kind in ("broken_large", "broken_small", "contamination")]
    reply = why(tmp_path, broken, sorted((root / "train" / "good").glob("*"))[:20])
    assert [a.innocent for a in reply.accounts] == [()] * len(reply.accounts)
    assert reply.answer.count("show one moment") == 1


@needs("avenue")
@pytest.mark.timeout(300)
def test_what_a_recording_begins_with_has_nothing_before_it(tmp_path: Path) -> None:
    root = DATA / "avenue"
    video = next((root / "testing_videos").glob("*21*.avi"))
    reply = why(tmp_path, [video], sorted((root / "training_videos").glob("*.avi")))
    assert reply.accounts[0].cause == ()
    assert reply.accounts[0].innocent == ()
    assert "The recording begins with it" in reply.answer
