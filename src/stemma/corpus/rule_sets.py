"""Published sets of rules as limits on our measures, to be added by name; a set judges the language it was
made for.

Values are those of the papers and of the configurations their authors published, as far as a whole document
is judged. Rules that edit lines become the share of the document that they would touch; language scores and
word lists are left out. Most of them remove text that the default tables keep: hard-wrapped books fail the
rules on line ends, for example.
"""

from stemma.corpus.decide import Group, Limit

Border = tuple[str, float | None, float | None]
"""A measure, the least and the most it may be."""


def _set(rule: str, group: Group, *borders: Border) -> tuple[Limit, ...]:
    """A limit for each border."""
    return tuple(
        Limit(rule, measure, group=group, **{side: border})
        for measure, *sides in borders
        for side, border in zip(("least", "most"), sides, strict=True)
        if border is not None
    )


def _most(name: str, first: int, *values: float) -> tuple[Border, ...]:
    return tuple((name.format(n=n), None, value) for n, value in enumerate(values, first))


_GOPHER_REPETITION: tuple[Border, ...] = (
    ("duplicate_line_count_share", None, 0.30),
    ("duplicate_paragraph_count_share", None, 0.30),
    ("duplicate_line_share", None, 0.20),
    ("duplicate_paragraph_share", None, 0.20),
    *_most("top_{n}gram_characters", 2, 0.20, 0.18, 0.16),
    *_most("repeated_{n}gram_characters", 5, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10),
)
_GOPHER_QUALITY: tuple[Border, ...] = (
    ("num_words", 50, 100_000),
    ("mean_word_length", 3, 10),
    ("hash_ratio", None, 0.1),
    ("ellipsis_ratio", None, 0.1),
    ("bullet_line_share", None, 0.9),
    ("ellipsis_line_share", None, 0.3),
    ("letter_word_share", 0.8, None),
)

RULE_SETS: dict[str, tuple[Limit, ...]] = {
    # Rae et al. 2021, Scaling Language Models, appendix A.1.1 and table A1.
    "gopher": _set("gopher", "en", *_GOPHER_QUALITY, ("distinct_stop_words", 2, None), *_GOPHER_REPETITION),
    # Raffel et al. 2020, T5, section 2.2: what is left of a page has five sentences, no code and no filler.
    "c4": _set("c4", "en", ("lorem_ipsum", None, 0), ("num_braces", None, 0), ("kept_sentences", 5, None)),
    # Penedo et al. 2024, FineWeb, section 3.5: the three rules of its own, and new lines by words.
    "fineweb": _set(
        "fineweb",
        "en",
        ("terminal_line_share", 0.12, None),
        ("short_line_share", None, 0.67),
        ("duplicate_line_share", None, 0.01),
        ("newlines_per_word", None, 0.3),
    ),
    # Penedo et al. 2025, FineWeb2, configuration cmn_Hani.
    "fineweb2-zh": _set(
        "fineweb2-zh",
        "zh",
        ("terminal_line_share", 0.106, None),
        ("duplicate_line_share", None, 0.1),
        ("newlines_per_word", None, 0.178),
        ("num_words", 50, 100_000),
        ("mean_word_length", 1, 5),
        ("letter_word_share", 0.735, None),
        ("distinct_zh_stop_characters", 2, None),
        ("duplicate_line_count_share", None, 0.287),
        *_most("top_{n}gram_characters", 2, 0.256, 0.201, 0.171),
        *_most("repeated_{n}gram_characters", 5, 0.198, 0.182, 0.167, 0.154, 0.140, 0.127),
    ),
    # Penedo et al. 2023, RefinedWeb, appendix G: Gopher, and at most 5 % of the words in lines that go.
    "refinedweb": _set(
        "refinedweb",
        "en",
        *_GOPHER_QUALITY,
        ("num_stop_words", 2, None),
        *_GOPHER_REPETITION,
        ("noise_line_share", None, 0.05),
    ),
    # Chen et al. 2023, ChineseWebText, section 3.1; its list of sensitive words is left out.
    "chinesewebtext": _set(
        "chinesewebtext",
        "zh",
        ("characters", 200, None),
        ("mean_line_length", 10, None),
        ("han_character_share", 0.30, None),
        ("traditional_share", None, 0.05),  # rare characters of both writings are not in GB 2312
        ("repeated_13gram_share", None, 0.50),
    ),
}
