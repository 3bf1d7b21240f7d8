"""The command line: `telltale ui | ask | detect | watch | clip | detectors | doctor | models list|pull | rules | report`.

Exit codes: 0 done, 2 user error (one clear line on stderr, no traceback), 1 bug. Answers and tables go to stdout, everything
else to stderr. Nothing heavy is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import BadInput, UserError
from models.chat.tiers import FORMS, Tier
from ui.models_cli import models_app
from ui.rules_cli import rules_app

app = typer.Typer(
    name="telltale", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="A conversational analyst for anomalies: what is wrong, when, where, why, and how bad is it?",
)  # fmt: skip
app.add_typer(models_app, name="models")
app.add_typer(rules_app, name="rules")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Normal = Annotated[list[Path] | None, typer.Option("--normal", help="What normal looks like: a file or folder; repeatable.")]
Abnormal = Annotated[
    list[Path] | None,
    typer.Option("--abnormal", help="Examples of what is not, for detectors that learn from them: a file or folder; repeatable."),
]
Skim = Annotated[
    bool, typer.Option("--skim", help="Of a long video, tell what a first look at some moments shows, and do not read the rest.")
]
Model = Annotated[
    str, typer.Option("--model", help=f"Who words the answer: {', '.join(FORMS.values())}; `local` alone is the usual model.")
]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    from ui.logs import quiet_terminal

    quiet_terminal()
    try:
        app(args=list(argv) if argv is not None else None)
    except UserError as error:
        print(f"telltale: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("telltale: stopped.", file=sys.stderr)
        sys.exit(130)
    except (BrokenPipeError, SystemExit) as ended:
        # The reader (head, less) went away, which is no fault; click has made exit code 1 of it where it saw it first.
        if not isinstance(ended, BrokenPipeError) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    auth: Annotated[str | None, typer.Option(help="user:password that visitors must give (several with commas).")] = None,
    model: Model = "embedded",
) -> None:
    """Open the web page."""
    from ui.serve import serve

    serve(host=host, port=port, auth=auth, model=model)


DEFAULT_QUESTION = "What is wrong here?"


def _is_sentence(path: Path) -> bool:
    """True for a question that was given where files are: no such file, several words, no ending.

    >>> _is_sentence(Path("what happened before he fell?")), _is_sentence(Path("my holiday clip.mp4")), _is_sentence(Path("samples"))
    (True, False, False)
    """
    text = str(path)
    return not path.exists() and len(text.split()) > 2 and ("?" in text or not path.suffix)


@app.command()
def ask(
    files: Annotated[list[Path] | None, typer.Argument(help="Photos, videos, series, event logs, or folders of them.")] = None,
    question: Annotated[str, typer.Option("--question", "-q", help="What to find out.")] = DEFAULT_QUESTION,
    normal: Normal = None,
    rule: Annotated[list[str] | None, typer.Option("--rule", help="What counts as abnormal, in words; repeatable.")] = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="ROLE=COLUMN of an event log, e.g. subject=Image; repeatable.")
    ] = None,
    skim: Skim = False,
    as_json: Json = False,
    thread: Annotated[str | None, typer.Option(help="Continue this chat.")] = None,
    model: Model = "embedded",
) -> None:
    """Ask about files; the answer goes to stdout, its steps to stderr."""
    from agent.session import Session, list_threads
    from ui.terminal import answer_text, follow, plain

    if thread is not None and thread not in {info.thread for info in list_threads()}:
        raise BadInput(f"--thread {thread!r}: there is no such chat here.")
    spoken = [path for path in files or () if _is_sentence(path)]
    if spoken and question == DEFAULT_QUESTION:
        question = str(spoken[0])
        files = [path for path in files or () if path not in spoken]
    if not files and thread is None:
        raise BadInput("ask: expected at least one file, or --thread to go on with an earlier chat.")
    roles = dict(pair.partition("=")[::2] for pair in role or ())
    if not all(roles.values()):
        raise BadInput(f"--role {role!r}: expected ROLE=COLUMN, e.g. --role subject=Image.")
    warning = Tier.parse(model).warning()
    session = Session(thread=thread, model=model)
    if warning is not None:
        print(f"telltale: {warning}", file=sys.stderr)
    print(f"chat {session.thread}", file=sys.stderr)  # at the start, so that a killed question can be gone on with
    try:
        reply = follow(session.ask(question, files=files or (), normal=normal or (), rules=rule or (), roles=roles))
        if reply is not None and reply.skimmed and not skim:
            print(f"telltale: that was a first look; reading the rest of {', '.join(reply.skimmed)}", file=sys.stderr)
            reply = follow(session.refine()) or reply
    finally:
        session.close()
    if reply is None:
        raise BadInput("ask: no answer came back; run it again with another question.")
    if as_json:
        print(json.dumps(reply.to_json(), ensure_ascii=False, default=str))
    else:
        print(answer_text(reply))
        print(f"({reply.model}, {reply.seconds:.1f} s; go on with --thread {reply.thread})", file=sys.stderr)
    for name, message in reply.refused:
        line = message if name in message else f"{name}: {message}"
        print(f"telltale: not read: {plain(' '.join(line.split()))}", file=sys.stderr)
    if files and reply.refused and not reply.tools and reply.status == "insufficient":
        raise typer.Exit(2)


@app.command()
def detect(
    name: Annotated[str, typer.Argument(help="A detector of `telltale detectors`.")],
    given: Annotated[Path, typer.Argument(metavar="INPUT", help="A file or a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write (new, empty, or of an earlier run).")],
    normal: Normal = None,
    abnormal: Abnormal = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value for the detector; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option(help="Read INPUT as image, points, video, series or events.")] = None,
    skim: Skim = False,
) -> None:
    """Score one input with one detector and write scores.csv, maps or channels, and run.json.

    Pictures: sample,score and maps/<sample>.npy. Video: frame,time_s,score for every frame (with --skim: of every unit of
    time that was read). Series: index (data rows from 0),
    time, score, and channels.csv. Events: row (as in the file, from 1), score, and paths.csv.
    """
    from ui.detect import detect as run_detect
    from ui.terminal import clear_progress, print_progress

    try:
        run = run_detect(
            name,
            given,
            out=out,
            normal=normal or (),
            abnormal=abnormal or (),
            settings=settings or (),
            kind=kind,
            skim=skim,
            sink=print_progress,
        )
    finally:
        clear_progress()
    print(
        f"{run['detector']}: {run['samples']} sample(s), {run['files']} file(s) in {out} ({run['seconds']:.1f} s)",
        file=sys.stderr,
    )


@app.command()
def watch(
    source: Annotated[str, typer.Argument(help="rtsp:// or http:// address, /dev/video0, a growing folder, or a video file.")],
    normal: Normal = None,
    alerts: Annotated[
        Path | None, typer.Option("--alerts", help="Append each alert to this file, one JSON object a line.")
    ] = None,
    webhook: Annotated[str | None, typer.Option("--webhook", help="Post each alert as JSON to this address.")] = None,
    clips: Annotated[Path | None, typer.Option("--clips", help="Keep pictures and a video of each event in this folder.")] = None,
    for_s: Annotated[float | None, typer.Option("--for", min=0.0, help="Stop after so many seconds.")] = None,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Play a file so many times as fast; 0: as fast as it can be scored.")
    ] = 1.0,
    warm_up: Annotated[float, typer.Option(help="Seconds that are only learned from, without --normal.")] = 30.0,
    threshold: Annotated[float | None, typer.Option(help="Score that opens an event, instead of the calibrated one.")] = None,
    smooth: Annotated[float, typer.Option(min=0.0, help="Seconds over which scores are smoothed.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Watch a stream: each event is told as it begins and ends, with time, place, picture and how far beyond the threshold.

    Without --normal the stream is compared with its own last ten minutes. Events go to stdout, everything else to stderr.
    """
    from ui.watch import run_watch

    run_watch(
        source, normal=normal or (), alerts=alerts, webhook=webhook, clips=clips, for_s=for_s, speed=speed, warm_up_s=warm_up,
        threshold=threshold, tau_s=smooth, as_json=as_json,
    )  # fmt: skip


@app.command()
def clip(
    file: Annotated[Path, typer.Argument(help="A video, or a folder of frames.")],
    start: Annotated[str, typer.Option("--from", help="Where to begin: seconds, or minutes:seconds.")],
    end: Annotated[str, typer.Option("--to", help="Where to end.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The mp4 to write (default: named after the file, here).")
    ] = None,
    pad: Annotated[float, typer.Option(min=0.0, help="Seconds to add on either side.")] = 0.0,
    box: Annotated[str | None, typer.Option(help="Draw this box: left,top,right,bottom in pixels.")] = None,
) -> None:
    """Save a stretch of a video as a file of its own."""
    from ui.cutting import cut

    done = cut(file, start=start, end=end, out=out, pad_s=pad, box=box)
    print(f"Wrote {done.path} ({done.start_s:.2f} to {done.end_s:.2f} s, {done.frames} frames, {done.encoder})", file=sys.stderr)


@app.command()
def detectors(as_json: Json = False) -> None:
    """List the detectors: what each is for and when not to use it."""
    from tools.catalog import catalogue
    from ui.tables import print_table

    rows = list(catalogue().values())
    if as_json:
        print(json.dumps([row.as_row() for row in rows], ensure_ascii=False))
        return
    needs = [
        f"{row.needs}{', fits normals' if row.needs_fit else ''}{' and abnormal ones' if row.labelled else ''}" for row in rows
    ]
    print_table(
        ("name", "kind", "cost", "needs", "use"),
        [(row.name, row.kind, row.cost, need, row.use) for row, need in zip(rows, needs, strict=True)],
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this installation; exit code 2 when something is missing."""
    from ui.doctor import checks
    from ui.tables import print_table

    found = checks()
    if as_json:
        print(json.dumps([{"name": check.name, "ok": check.ok, "note": check.note} for check in found], ensure_ascii=False))
    else:
        print_table(("", "check", "found"), [("ok" if check.ok else "NO", check.name, check.note) for check in found])
    if not all(check.ok for check in found):
        raise typer.Exit(2)


@app.command()
def report(
    thread: Annotated[str, typer.Argument(help="A chat, as `telltale ask` names it.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
) -> None:
    """Write a chat as one self-contained HTML file."""
    from agent.report import report_html
    from agent.session import Session, list_threads
    from core.archive import write_atomic

    titles = {info.thread: info.title for info in list_threads()}
    if thread not in titles:
        raise BadInput(f"report: there is no chat {thread!r} here.")
    if out.is_dir():
        raise BadInput(f"--out {str(out)!r}: expected a file name, got a folder.")
    session = Session(thread=thread)
    try:
        html = report_html(session.history(), thread=thread, title=titles[thread])
    finally:
        session.close()
    try:
        write_atomic(out, html.encode())
    except OSError as error:
        raise BadInput(f"--out {str(out)!r} cannot be written: {error.strerror}.") from error
    print(f"Wrote {out} ({len(html) / 2**20:.1f} MB)", file=sys.stderr)


if __name__ == "__main__":
    main()
