"""`make demo`: one question about each bundled sample, answered in the terminal, and all answers as one HTML file."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

from core.archive import write_atomic
from ui.examples import SAMPLES, examples


def main(out: Path = Path("demo_report.html")) -> None:
    """Ask every example in a chat of its own, kept out of the person's chats, and write `out`."""
    with tempfile.TemporaryDirectory(prefix="telltale-demo-") as folder:
        os.environ["TELLTALE_HOME"] = folder
        from agent.report import report_html
        from agent.session import Session
        from ui.terminal import answer_text, follow

        turns = []
        for example in examples():
            given = _shown(example.files)
            normal = ["--normal", *_shown(example.normal)] if example.normal else []
            print(f"\n$ telltale ask {shlex.join([*given, '-q', example.question, *normal])}\n", flush=True)
            session = Session()
            reply = follow(session.ask(example.question, files=example.files, normal=example.normal))
            if reply is not None:
                print(answer_text(reply), flush=True)
            turns += session.history()
            session.close()
        write_atomic(out, report_html(turns, thread="demo", title="Telltale on its bundled samples").encode())
    print(f"\nWrote {out.resolve()}: the same answers with their pictures.", file=sys.stderr)


def _shown(files: tuple[Path, ...]) -> list[str]:
    """Files as a person would name them: the folder when they are several."""
    paths = [path.relative_to(SAMPLES.parent) for path in files]
    return [str(paths[0])] if len(paths) == 1 else sorted({str(path.parent) for path in paths})


if __name__ == "__main__":
    main()
