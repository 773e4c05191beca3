"""What a notebook and a prompt show of questions, models and findings: informative, one line, and text stays text."""

from html.parser import HTMLParser

import headatlas as ha
from headatlas.models.head_model import HeadModel
from headatlas.questions import QuestionSet
from tests.planted.seed_figure import seed_figure
from tests.tiny import Tokens, tiny

SCRIPT = "<script>alert('x')</script>\x1b[2J\u202e"


class Reader(HTMLParser):
    """Collects the tags and the text of HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data + " "


def check_literal(html):
    """Nothing of the data became markup, or an instruction to a terminal."""
    read = Reader(html)
    assert read.tags <= {"div", "p", "b", "bdi", "table", "tr", "th", "td"}
    assert "<script>alert('x')</script>" in read.text and "\\x1b[2J\\u202e" in read.text
    assert not {"\x1b", "\u202e"} & set(html)


def test_questions():
    known = ha.load_questions("controlled")
    assert (
        repr(known) == f"QuestionSet('controlled', 96 questions, 768 steps of 8 functions, digest {known.digest[:12]})"
    )
    read = Reader(known._repr_html_())
    first = known.questions[0]
    for text in ("controlled: 96 questions, 768 steps, digest", "Decision-making", "96 steps", first.question, "A: "):
        assert text in read.text
    assert first.steps[0].subquestion in read.text


def test_text_of_questions_stays_text():
    rows = [{"question": SCRIPT, "subquestion": SCRIPT, "answer": SCRIPT, "function": SCRIPT}]
    odd = ha.load_questions(rows, name=SCRIPT)
    check_literal(QuestionSet(odd.questions, odd.name, {SCRIPT: 2})._repr_html_())
    assert "\x1b" not in repr(odd) and "\n" not in repr(odd)


def test_a_model_says_what_runs_slower_and_why():
    model = tiny("llama")
    known = "llama, 3 layers x 4 heads of 6, 2 KV heads, float32 on cpu"
    assert repr(model) == f"HeadModel('llama', {known}; prompts packed; answers apart from their prompts)"
    model.unsplit = "its sinks differ"
    assert repr(model).endswith("; prompts packed; answers with their whole prompts: its sinks differ)")
    model.unpacked = "its positions differ"
    assert "; prompts one at a time: its positions differ; answers with their whole prompts: " in repr(model)
    read = Reader(model._repr_html_())
    for text in ("LlamaForCausalLM", "4 heads of 6", "128 tokens", "one at a time: its positions differ"):
        assert text in read.text
    check_literal(HeadModel(model.model, Tokens(), SCRIPT)._repr_html_())


def test_findings():
    found = ha.describe(seed_figure())
    assert repr(found).startswith(f"Findings({found.model!r}, 'planted': {len(list(found))} findings, ")
    assert repr(found).endswith(" things not known)") and len(repr(found)) < 120
    assert found._repr_markdown_() == found.to_markdown()
    odd = ha.describe(seed_figure().assign_attrs(model=SCRIPT))
    assert "<script" not in odd._repr_markdown_() and "\\x1b" in repr(odd)
