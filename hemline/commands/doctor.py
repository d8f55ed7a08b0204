"""`hemline doctor`: is everything here that an installation needs?"""

import typer

from hemline.commands import opened
from hemline.output import Json, answer


def doctor(as_json: Json = False) -> None:
    """Check Python, Redis, the database, the model files, the disk and the port, and say what to do."""
    from hemline.checkup import examine

    findings = examine(opened.settings())
    lines = [f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:9} {finding.detail}" for finding in findings]
    answer(findings, text="\n".join(lines), as_json=as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
