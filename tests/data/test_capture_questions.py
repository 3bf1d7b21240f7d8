"""Questions that an analyst asks about a recorded attack, each answer held against the capture's labels, row by row.

The capture is `lsass03_comsvcs` of otrf_sysmon, normal are the benign rows of the other three of its kind. The labels are not shown to
anybody: the reader leaves their columns out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from agent.reply import Reply
from agent.session import Session
from agent.verify import check_sentence, cited_ids

DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
CAPTURES = DATA / "otrf_sysmon"
NAME = "lsass03_comsvcs"
pytestmark = [pytest.mark.data, pytest.mark.skipif(not CAPTURES.is_dir(), reason="otrf_sysmon is not there")]


@pytest.fixture(scope="module")
def truth() -> pl.DataFrame:
    texts = [pl.col(column).cast(pl.String) for column in ("op", "subj_image", "obj_name", "detail")]
    return pl.read_parquet(CAPTURES / f"{NAME}.parquet").with_row_index("row", 1).with_columns(texts)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    place = tmp_path_factory.mktemp("capture")
    normal = []
    for other in ("lsass01_mimikatz", "lsass02_procdump", "lsass04_outminidump"):
        normal.append(place / f"{other}_normal.parquet")
        pl.read_parquet(CAPTURES / f"{other}.parquet").filter(pl.col("label") == 0).write_parquet(normal[-1])
    opened = Session(home=place / "home")
    ask(opened, "what is wrong here?", files=[CAPTURES / f"{NAME}.parquet"], normal=normal)
    yield opened
    opened.close()


def ask(session: Session, question: str, files: Sequence[Path] = (), normal: Sequence[Path] = ()) -> Reply:
    """The reply: nothing was removed from it, and every line of it holds."""
    *_, reply = session.ask(question, files=files, normal=normal)
    assert isinstance(reply, Reply)
    assert reply.removed == ()
    known = {e.id: e for e in reply.evidence}
    for line in reply.answer.splitlines():
        assert not cited_ids(line) or check_sentence(line, known).holds, line
    return reply


def rows(reply: Reply) -> list[int]:
    return [int(n) for n in re.findall(r"^- Row (\d+)[,:]", reply.answer, re.MULTILINE)]


def attack(truth: pl.DataFrame) -> pl.DataFrame:
    return truth.filter(pl.col("label") == 1)


def test_the_chain_is_the_attacks_from_the_payload_to_the_secrets(session: Session, truth: pl.DataFrame) -> None:
    worst = session.history()[0].reply.anomalies[0]
    told = list(worst.loci[0].rows)  # type: ignore[union-attr]
    labels = dict(truth.select("row", "label").iter_rows())
    assert [labels[row] for row in told] == [1] * len(told)
    assert told[0] == attack(truth)["row"].min()  # the payload is started
    assert told[-1] in attack(truth).filter(pl.col("obj_name").str.ends_with("lsass.exe"))["row"].to_list()
    key = truth.filter(pl.col("key") == 1)["row"].to_list()
    assert set(told) <= set(key)
    assert worst.severity == 3


def test_the_first_suspicious_event_and_where_the_worst_begins(session: Session, truth: pl.DataFrame) -> None:
    reply = ask(session, "what is the first suspicious event?")
    first = attack(truth)["row"].min()
    found = re.search(r"The worst finding, which ends in .*, begins in row (\d+)", reply.answer)
    assert found is not None
    assert int(found[1]) == first
    # an ordinary indexer is reported, too, as minor, and it came before the attack: that is said, not left out
    earliest = re.search(r"The earliest suspicious event is row (\d+)", reply.answer)
    assert earliest is not None
    assert int(earliest[1]) < int(found[1])
    assert truth.filter(pl.col("row") == int(earliest[1]))["label"].item() == 0
    assert "minor" in reply.answer


def test_the_credential_access(session: Session, truth: pl.DataFrame) -> None:
    reply = ask(session, "was there credential access?")
    opened = attack(truth).filter((pl.col("op") == "access_process") & pl.col("obj_name").str.ends_with("lsass.exe"))
    read = [row for row, mask in opened.select("row", "detail").iter_rows() if int(mask, 16) & 0x10]
    assert len(read) == 2
    assert set(read) <= set(rows(reply))
    own = re.search(r"Of the rows told here, rows ([\d, and]+) belong to findings", reply.answer)
    assert own is not None
    ours = {int(n) for n in re.findall(r"\d+", own[1])}
    assert set(read) <= ours
    assert ours <= set(attack(truth)["row"].to_list())
    others = set(rows(reply)) - ours  # the management service of Windows reads there too
    assert others <= set(truth.filter(pl.col("label") == 0)["row"].to_list())


def test_the_outbound_address(session: Session, truth: pl.DataFrame) -> None:
    reply = ask(session, "which outbound address did it talk to?")
    outbound = attack(truth).filter(pl.col("op") == "connect")
    addresses = {name.split(":")[0] for name in outbound["obj_name"].to_list()}
    assert addresses == {"10.0.5.13"}
    assert rows(reply) == outbound["row"].to_list()
    assert f"Addresses: `10.0.5.13` ({outbound.height})" in reply.answer  # and not the workstation's own end
    nobody = ask(session, "who else talked to that address?")
    others = truth.filter((pl.col("label") == 0) & pl.col("obj_name").str.starts_with("10.0.5.13"))
    assert rows(nobody) == others["row"].to_list()


def test_what_is_benign_about_it(session: Session, truth: pl.DataFrame) -> None:
    reply = ask(session, "what is benign about it?")
    assert "None of the 4 events of what ends in `rundll32.exe (pid 7580)` is ordinary alone" in reply.answer
    assert "it scores 7.09 against a threshold of 3.45" in reply.answer
    evidence = next(e for e in reply.evidence if e.facts.get("kind") == "ordinary")
    assert set(evidence.locus.rows) <= set(attack(truth)["row"].to_list())  # type: ignore[union-attr]
