import re
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import HOSTILE, ScriptedSession, Store

from agent.narration.narrator import VIEW_MARK
from agent.reply import Panel, Progress, Reply, StepDone, StepStarted, TextDelta
from agent.reply_html import evidence_html, pictures_html, verdict_html
from agent.report import report_html
from core.evidence import Anomaly, Evidence, Interval, Whole
from ui.messages import Bubble, Html, TurnView, bubbles, fold, fold_all


@pytest.fixture
def session(tmp_path: Path) -> ScriptedSession:
    return ScriptedSession(Store(tmp_path, pace_s=0.0), None)


def html_of(shown: list[Bubble]) -> str:
    return "".join(part.html for bubble in shown for part in bubble.parts if isinstance(part, Html))


def link(path: str) -> str | None:
    return f"shown/{Path(path).name}"


def photo(tmp_path: Path, name: str = "a.png", size: int = 10) -> Path:
    path = tmp_path / name
    path.write_bytes(b"x" * size)
    return path


def test_a_turn_in_progress_shows_its_current_step_with_live_progress():
    view = fold_all(
        TurnView(question="what?"),
        [
            StepStarted(key="a", title="Reading"),
            StepDone(key="a", title="Read 3 files", seconds=0.5, detail="a, b, c"),
            StepStarted(key="b", title="Comparing"),
            Progress(key="b", what="frames", done=1_200, total=2_000),
        ],
    )
    user, steps = bubbles(view, key="t", link=link)
    assert user.role == "user"
    assert (steps.title, steps.status, steps.log) == ("Comparing", "pending", "1,200 of 2,000 frames")
    assert "Read 3 files" in html_of([steps])
    assert "500 ms" in html_of([steps])


def test_late_progress_of_a_finished_step_changes_nothing():
    view = fold_all(TurnView(question="?"), [StepStarted(key="a", title="A"), StepDone(key="a", title="A", seconds=1.0)])
    assert fold(view, Progress(key="a", what="frames", done=1, total=2)) == view
    assert fold(view, Progress(key="unknown", what="frames", done=1, total=2)) == view


def test_the_reply_ends_every_step_and_replaces_the_streamed_text():
    view = fold_all(TurnView(question="?"), [StepStarted(key="a", title="A"), TextDelta(text="dra"), TextDelta(text="ft")])
    assert "draft" in html_of(bubbles(view, key="t", link=link))
    view = fold(view, Reply(answer="final", status="normal", seconds=2.0))
    shown = bubbles(view, key="t", link=link)
    assert [bubble.status for bubble in shown] == [None, "done", None]
    assert "final" in html_of(shown)
    assert "draft" not in html_of(shown)


def test_a_stop_is_seen_at_once():
    view = fold_all(TurnView(question="?", stopping=True), [StepStarted(key="a", title="Comparing")])
    assert bubbles(view, key="t", link=link)[1].title == "Stopping…"
    assert bubbles(TurnView(question="?", stopping=True), key="t", link=link)[1].title == "Stopping…"


def test_only_calibrated_evidence_earns_a_green_badge():
    seen = Evidence(id="E1", tool="t", version="1", parameters={}, source="a", locus=Whole(sample="a"), threshold=1.0)
    sure = verdict_html(Reply(answer="x", status="normal", evidence=(replace(seen, calibrated=True),)))
    unsure = verdict_html(Reply(answer="x", status="normal", evidence=(seen,)))
    assert "tt-sev0" in sure
    assert "tt-sev0" not in unsure
    assert "not calibrated" in unsure
    assert verdict_html(Reply(answer="x", status="insufficient", evidence=(seen,))) == ""


def test_a_plot_is_wide_and_named_after_its_finding(tmp_path: Path):
    plot = tmp_path / "plot.png"
    plot.write_bytes(b"x")
    where = Interval(sample="pump.csv", start_s=60.0, end_s=120.0, peak_s=90.0, channels=("flow",))
    item = Evidence(id="E2", tool="window_pca", version="1", parameters={}, source="pump.csv", locus=where)
    found = Anomaly(label="flatline in flow", source="pump.csv", loci=(where,), severity=1, severity_score=20.0, confidence=0.5,
                    evidence=("E2",))  # fmt: skip
    panels = (
        Panel(kind="picture", caption="pump.csv: window pca", source="pump.csv", evidence="E2", path=str(plot)),
        Panel(kind="curve", caption="", source="pump.csv", data={"seconds": [], "scores": [], "unit": "clock", "epoch_s": 0.0}),
    )
    reply = Reply(answer="x", status="abnormal", anomalies=(found,), evidence=(item,), panels=panels)
    text = pictures_html(reply, key="t", link=link)
    assert 'class="tt-plot"' in text
    assert "pump.csv: flatline in flow, 1970-01-01 00:01:00–00:02:00" in text
    assert "window pca" not in text


def test_a_graph_is_shown_at_its_own_size(tmp_path):
    drawn = tmp_path / "graph.png"
    drawn.write_bytes(b"x")
    panels = (Panel(kind="graph", caption="how the findings hang together", source="log.jsonl", evidence="E1", path=str(drawn)),)
    text = pictures_html(Reply(answer="x", status="abnormal", panels=panels), key="t", link=link)
    assert 'class="tt-graph"' in text
    assert "tt-grid" not in text


def test_a_refusal_that_the_answer_tells_is_not_told_again():
    refused = (("a[1].csv", "a[1].csv: the file is empty."), ("b.csv", "b.csv: cut off."))
    text = evidence_html(Reply(answer="_a(1).csv: the file is empty._ [E1]", status="insufficient", refused=refused), key="t")
    assert "b.csv: cut off." in text
    assert "is empty" not in text


def test_a_failed_step_is_marked():
    view = fold_all(
        TurnView(question="?"),
        [
            StepDone(key="a", title="Scored", seconds=1.0, detail="out of time", ok=False),
            Reply(answer="x", status="insufficient"),
        ],
    )
    steps = bubbles(view, key="t", link=link)[1]
    assert steps.log == "1 failed"
    assert "tt-failed" in html_of([steps])


def test_the_whole_answer_has_badge_pictures_curve_evidence_and_suggestions(session: ScriptedSession, tmp_path: Path):
    view = fold_all(TurnView(question="broken?", files=("a.png",)), session.ask("broken?", files=[photo(tmp_path)]))
    shown = bubbles(view, key="t0", link=link)
    text = html_of(shown)
    assert "Critical" in text
    assert "82" in text
    assert text.count("<img ") == 6
    assert 'src="shown/heat0.png"' in text
    assert [part.kind for part in shown[-1].parts if isinstance(part, Panel)] == ["curve"]
    assert shown[-1].options == ("Where exactly?", "Which sensor is to blame?", "Show me the evidence")
    cited = set(re.findall(r'href="#(ev-[^"]+)"', text))
    rows = set(re.findall(r'id="(ev-[^"]+)"', text))
    assert cited
    assert cited <= rows
    assert not bubbles(view, key="t0", link=link, last=False)[-1].options


def test_nothing_quoted_from_a_file_becomes_markup(session: ScriptedSession, tmp_path: Path):
    view = fold_all(TurnView(question=HOSTILE, files=(HOSTILE,), normal=(HOSTILE,)), session.ask("?", files=[photo(tmp_path)]))
    text = html_of(bubbles(view, key="t0", link=link))
    assert "onerror=window.hacked=1&gt;" in text
    assert "<img src=x" not in text
    assert not re.search(r"""(?:src|href)=["'](?!shown/|#ev-)""", text)


def test_pictures_that_are_gone_are_left_out(session: ScriptedSession, tmp_path: Path):
    view = fold_all(TurnView(question="?"), session.ask("?", files=[photo(tmp_path)]))
    assert "<img " not in html_of(bubbles(view, key="t0", link=lambda path: None))


def test_refused_files_are_named(session: ScriptedSession, tmp_path: Path):
    files = [photo(tmp_path), photo(tmp_path, "void.png", 0)]
    view = fold_all(TurnView(question="?"), session.ask("?", files=files))
    assert "void.png" in html_of(bubbles(view, key="t0", link=link)).split("Not read")[1]


def test_a_report_is_self_contained_and_escaped(session: ScriptedSession, tmp_path: Path):
    list(session.ask(HOSTILE, files=[photo(tmp_path)]))
    list(session.ask("and when?"))
    page = report_html(session.history(), thread=session.thread)
    assert page.count("data:image/jpeg;base64,") == 6
    assert "<svg" in page
    assert "default-src 'none'" in page
    assert page.count("<article>") == 2
    assert "<img src=x" not in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)


def answered(answer: str, model: str) -> str:
    return html_of(bubbles(TurnView(question="?", reply=Reply(answer=answer, status="normal", model=model)), key="t", link=link))


def test_who_wrote_an_answer_is_said_when_a_model_did():
    assert "Written by" not in answered("All well.", "embedded")
    shown = answered("All well.", "endpoint:<b>@http://host/v1")
    assert '<p class="tt-writer tt-muted">Written by <b>endpoint:&lt;b&gt;@http://host/v1</b>' in shown
    assert "tt-view" not in shown


def test_what_a_model_believes_to_see_is_set_apart():
    answer = f"It stops at 0:12.\n\n_{VIEW_MARK} In the picture a_man <img src=x> *waves*._"
    shown = answered(answer, "local:eyes")
    measured, view = shown.split('<aside class="tt-view">')
    assert "It stops at 0:12." in measured
    assert "a_man" not in measured
    assert view.startswith(f"<b>{VIEW_MARK}</b><p>In the picture a_man &lt;img src=x&gt; <em>waves</em>.</p></aside>")
    assert "tt-view" not in answered(answer, "embedded")
    assert "tt-view" not in answered(f"_{VIEW_MARK} x._\n\nAnd more.", "local:eyes")
