"""Every code block of the documentation runs, on a small planted model; every command in it is one that is there."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

import headatlas as ha
from headatlas.cli.main import app
from tests.planted.task_models import two_functions

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "gallery" not in page.parts)


def blocks(page, language):
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def planted():
    return two_functions(tasks=4, items=8)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: str(p.relative_to(DOCS)))
def test_the_pages_code_runs_block_after_block(page, planted, tmp_path, monkeypatch):
    load = ha.load_questions
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ha, "load_model", lambda *args, **_: planted.model)
    monkeypatch.setattr(ha, "load_questions", lambda given: planted.questions if given == "builtin" else load(given))
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def commands():
    for page in [*PAGES, DOCS.parent / "README.md"]:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                if line.startswith("headatlas "):
                    yield pytest.param(line, id=f"{page.stem}: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_in_the_documentation_is_one_that_is_there(line):
    """Names, options and arguments are parsed as typed; nothing is run."""
    words = shlex.split(line.partition(" #")[0])[1:]
    command = typer.main.get_command(app)
    context = command.make_context("headatlas", list(words), resilient_parsing=False)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert context.command is command


def test_the_gallery_shows_its_scripts_as_they_are():
    page = (DOCS / "gallery" / "index.md").read_text(encoding="utf-8")
    scripts = sorted((DOCS / "gallery").glob("*.py"))
    assert len(scripts) >= 10
    for script in scripts:
        code = script.read_text(encoding="utf-8").split('"""\n\n', 1)[1].rstrip()
        assert f'```python title="{script.name}"\n{code}\n```' in page, script.name
        assert (DOCS / "gallery" / "pictures" / f"{script.stem}.png").is_file()
