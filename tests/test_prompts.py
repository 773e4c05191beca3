"""Prompts under tokenizers of every common kind: the answer's span and the chosen positions are exact."""

import numpy as np
import pytest

from headatlas.errors import InputError, PromptError
from headatlas.prompts import build_prompts, digest_of, same_answer, with_answer
from headatlas.questions.schema import Question, QuestionSet, Step
from tests.saved import KINDS, TEXT, small_tokenizer

AWKWARD = [
    "12", "1,250.75", "5%", "-3.5", "$5", "Paris", "Paris.", "U.S.A.", "didn't", "don’t know",
    "Dr. Smith's brother", '"quoted" word', '“quoted”', "'tis", "(b) two", "x = y + 2", "café",
    "Zürich, naïve", "北京", "日本語テスト", "Привет", "😀", "👩‍👩‍👧", "e\u0301", "two  spaces",
    "two\nlines", "Yes! He did. It cost 12 euros.", "</answer>",
]  # fmt: skip
KNOWN_TO_UNIGRAM = [
    "12", "Paris", "didn't", "café", "Привет", "😀", "北京", "“quoted”", "(about 5%)", "Fifteen.",
]  # fmt: skip
CASES = [(kind, a) for kind in KINDS for a in (KNOWN_TO_UNIGRAM if kind == "unigram" else AWKWARD)]


def question(*answers, id="q", chain=True, function="retrieval", passage="Anna has three apples.", asked=None):
    asked = asked or [f"{word} is it?" for word in ("What", "Who", "Why", "When", "Where")]
    steps = tuple(Step(subquestion=s, answer=a, function=function) for s, a in zip(asked, answers, strict=False))
    return Question(id=id, question=passage, steps=steps, chain=chain)


def build(tokenizer, *questions, **options):
    return build_prompts(QuestionSet(questions, "x"), tokenizer, **options)


def text_of(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.fixture(scope="module")
def kinds():
    return {kind: small_tokenizer(kind, chat=True) for kind in KINDS}


def check_span(tokenizer, answer):
    for template, chat in (("short", True), ("short", False), ("published", True), ("published", False)):
        prompt = build(tokenizer, question(answer), template=template, chat=chat)[0]
        assert text_of(tokenizer, prompt.answer_tokens).strip() == answer
        whole = text_of(tokenizer, prompt.tokens)
        opening = '{"answer": "' if template == "published" else "Answer: "
        assert whole.endswith(opening + answer), f"{template}, chat {chat}: {whole[-60:]!r}"
        assert prompt.tokens[prompt.answer_start :].tolist() == prompt.answer_tokens.tolist()
        assert len(prompt.answer_tokens) > 0


@pytest.mark.parametrize(("kind", "answer"), CASES)
def test_the_span_is_the_answer_and_follows_the_opening(kinds, kind, answer):
    check_span(kinds[kind], answer)


@pytest.mark.parametrize("answer", AWKWARD)
def test_the_span_is_exact_with_the_default_model(tokenizer, answer):
    check_span(tokenizer, answer)


def test_the_span_is_exact_on_the_whole_builtin_set(tokenizer):
    from headatlas.questions.loading import load_questions

    for template in ("short", "published"):
        for prompt in build_prompts(load_questions("controlled"), tokenizer, template=template):
            assert tokenizer.decode(prompt.answer_tokens).strip() == prompt.answer


def test_an_answer_that_the_tokenizer_can_not_write_is_refused(kinds):
    with pytest.raises(PromptError, match=r"q/1: the answer '日本' has no tokens that decode to it .*got '<unk>'"):
        build(kinds["unigram"], question("12", "日本"))


def test_a_text_is_opened_once_and_never_closed_before_the_answer(kinds):
    for kind in ("byte-level, digits apart", "metaspace, always", "unigram"):
        tokens = build(kinds[kind], question("12"), chat=False)[0].tokens.tolist()
        assert tokens[0] == 1 and tokens.count(1) == 1, "<s> once, at the start"
        assert 2 not in tokens, "no </s> between question and answer"
        assert build(kinds[kind], question("12"), chat=True)[0].tokens.tolist().count(1) == 2  # one a turn


@pytest.mark.parametrize(
    ("answer", "pieces", "content"),
    [
        ("the red fox", [" the", " red", " fox"], [1, 2]),
        ("Paris, of course.", [" Paris", ",", " of", " course", "."], [0, 3]),
        ("no", [" no"], [0]),
        ("it is", [" it", " is"], [0, 1]),  # nothing but stop words: all count
        ("less than 40", [" less", " than", " ", "4", "0"], [0, 3, 4]),
        ("Dr. Smith's", [" Dr", ".", " Smith", "'s"], [0, 2, 3]),
    ],
)
def test_chosen_positions_by_hand(tokenizer, answer, pieces, content):
    expected = {"all": range(len(pieces)), "content": content, "first": [0], "last": [len(pieces) - 1]}
    for choice, kept in expected.items():
        prompt = build(tokenizer, question(answer), tokens=choice)[0]
        assert [tokenizer.decode([t]) for t in prompt.answer_tokens] == pieces
        # a token is predicted one position before it: the first answer token by the last prompt token
        assert prompt.chosen.tolist() == [prompt.answer_start - 1 + k for k in kept]
        assert prompt.predicting.tolist() == [prompt.answer_start - 1 + i for i in range(len(pieces))]


def test_every_byte_of_a_content_word_counts(kinds):
    """A byte-level tokenizer cuts inside characters; half a character is still part of its word."""
    tokenizer = kinds["byte-level"]
    prompt = build(tokenizer, question("the 日本語"), tokens="content")[0]
    pieces = [tokenizer.decode([t]) for t in prompt.answer_tokens]
    assert len(pieces) > 5, "the case needs characters cut into bytes"
    article = [i for i, piece in enumerate(pieces) if piece.strip() in ("the", "t", "h", "e", "th", "he")]
    inside = [i for i in range(len(pieces)) if i not in article and pieces[i].strip()]
    assert set(inside) <= set((prompt.chosen - prompt.answer_start + 1).tolist())
    assert not set(article) & set((prompt.chosen - prompt.answer_start + 1).tolist())


def test_earlier_steps_are_prior_knowledge_only_where_the_set_chains_them(tokenizer):
    for template in ("short", "published"):
        chained = build(tokenizer, question("red", "blue", "green"), template=template)
        apart = build(tokenizer, question("red", "blue", "green", chain=False), template=template)
        for number, (with_prior, alone) in enumerate(zip(chained, apart, strict=True)):
            before = tokenizer.decode(with_prior.prefix)
            for other, (asked, answer) in enumerate((("What", "red"), ("Who", "blue"), ("Why", "green"))):
                assert (f"{asked} is it?" in before) == (other <= number)
                assert (f": {answer}\n" in before) == (other < number)
                assert (f"{asked} is it?" in tokenizer.decode(alone.prefix)) == (other == number)
        assert "(none)" in tokenizer.decode(apart[2].prefix) or template == "short"


def shared_text(tokenizer, a, b):
    n = next(i for i, (x, y) in enumerate(zip(a.tokens, b.tokens, strict=False)) if x != y)
    return tokenizer.decode(a.tokens[:n])


def test_steps_of_one_question_share_their_prefix(tokenizer):
    """The passage comes before what differs, so that a token tree runs it once."""
    passage = "Anna has three apples and gives one to Leo, who eats it at once."
    a, b = build(tokenizer, question("red", "blue", chain=False, passage=passage))
    shared = shared_text(tokenizer, a, b)
    assert shared.endswith(f"Answer the last question in a few words.\n\n{passage}\n\nQ:")
    a, b = build(tokenizer, question("red", "blue", chain=True, passage=passage))
    shared = shared_text(tokenizer, a, b)
    assert shared.endswith(f"{passage}\n\nQ: What is it?")  # the whole of the first step's question as well
    a, b = build(tokenizer, question("red", "blue", chain=False, passage=passage), template="published")
    assert shared_text(tokenizer, a, b).endswith("Part to solve now:\n")


def test_the_published_template_ends_with_its_json_opening(tokenizer):
    for chat in (True, False):
        prompt = build(tokenizer, question("red"), template="published", chat=chat)[0]
        assert tokenizer.decode(prompt.prefix).endswith('{"answer": "')
        assert ('{"answer": "your answer"}' in tokenizer.decode(prompt.prefix)) and prompt.answer == "red"


def test_braces_in_a_question_are_text(tokenizer):
    prompt = build(tokenizer, question("red", passage="A {question} with {0} and {{x}}."))[0]
    assert "A {question} with {0} and {{x}}." in tokenizer.decode(prompt.tokens)


def test_the_chat_template_is_used_where_there_is_one(kinds):
    tokenizer, plain = kinds["byte-level"], small_tokenizer("byte-level")
    assert "assistant\n" in tokenizer.decode(build(tokenizer, question("red"))[0].tokens)
    assert "assistant\n" not in tokenizer.decode(build(tokenizer, question("red"), chat=False)[0].tokens)
    assert build(plain, question("red"))[0].tokens.tolist() == (
        build(tokenizer, question("red"), chat=False)[0].tokens.tolist()
    )
    with pytest.raises(PromptError, match=r"has no chat template. Leave out --chat"):
        build(plain, question("red"), chat=True)


def test_a_step_longer_than_the_context_is_named_with_both_lengths(kinds):
    tokenizer = kinds["byte-level"]
    questions = question("red", id="short"), question("red", "blue", id="long", passage=" ".join(TEXT))
    lengths = [len(p.tokens) for p in build(tokenizer, *questions)]
    assert build(tokenizer, *questions, context=max(lengths))
    with pytest.raises(PromptError) as error:
        build(tokenizer, *questions, context=lengths[1] - 1)
    assert str(error.value).startswith(
        f"long/0 is {lengths[1]} tokens long, the model takes {lengths[1] - 1}. Shorten that question"
    )


def test_an_unknown_template_is_refused_with_those_that_exist(kinds):
    with pytest.raises(InputError, match=r"Unknown template 'shrt'\. Did you mean 'short'"):
        build(kinds["byte-level"], question("red"), template="shrt")


def test_the_foil_answers_a_like_question_about_another_passage(tokenizer):
    who, how = ["Who has it?"], ["How many are there?"]
    questions = [
        question("Anna", id="a", asked=who), question("twelve", id="b", asked=how),
        question("Leo", id="c", asked=who), question("anna.", id="d", asked=who),
        question("four", id="e", asked=how, function="math_calculation"),
    ]  # fmt: skip
    foils = {p.id: tokenizer.decode(p.foil).strip() for p in build(tokenizer, *questions)}
    assert foils["a/0"] == "Leo"  # "anna." is the same answer, "twelve" answers another kind of question
    assert foils["c/0"] in ("Anna", "anna.")
    assert foils["b/0"] in ("Anna", "Leo", "anna.")  # no other "How many" of the function: any of it
    assert foils["e/0"] == ""  # the only step of its function


def test_a_foil_that_would_pass_the_context_is_left_out(kinds):
    tokenizer = kinds["byte-level"]
    questions = (
        question("red", id="long", passage="Anna has three apples and twelve pears."),
        question("a very long answer indeed", id="short", passage="Anna."),
    )
    free = build(tokenizer, *questions)
    longest = max(len(p.tokens) for p in free)
    assert len(free[0].prefix) + len(free[0].foil) > longest, "the case needs a foil that does not fit"
    tight = build(tokenizer, *questions, context=longest)
    assert [len(p.foil) for p in tight] == [0, len(free[1].foil)]


def test_a_generated_answer_is_pooled_in_place_of_the_reference(tokenizer):
    prompt = build(tokenizer, question("red"))[0]
    new = np.array(tokenizer(" the blue fox")["input_ids"])
    own = with_answer(prompt, new, tokenizer, "content")
    assert own.pooled.tolist() == [*prompt.prefix, *new]
    assert own.tokens.tolist() == prompt.tokens.tolist()
    assert own.chosen.tolist() == [prompt.answer_start, prompt.answer_start + 1]
    assert same_answer("The Red fox!", "the red  fox") and not same_answer("red", "redder")


def test_the_digest_follows_all_that_moves_a_number(tokenizer):
    plain = digest_of(build(tokenizer, question("red fox", "blue")))
    assert digest_of(build(tokenizer, question("red fox", "blue"))) == plain
    others = [
        build(tokenizer, question("red fox", "blue"), tokens="first"),
        build(tokenizer, question("red fox", "blue"), template="published"),
        build(tokenizer, question("red fox", "blue"), chat=False),
        build(tokenizer, question("red fox", "blue", chain=False)),
        build(tokenizer, question("red fox", "blue", function="inference")),
        build(tokenizer, question("red fox", "blue", id="other")),
        build(tokenizer, question("red fox", "green")),
    ]
    digests = [digest_of(prompts) for prompts in others]
    assert len({plain, *digests}) == 1 + len(others)
