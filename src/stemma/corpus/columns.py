"""The columns of a document's numbers: first what its text alone says (`measures`), then what `scores` adds."""

from stemma.corpus.measures import MEASURES as TEXT_MEASURES

CATEGORIES = ("gambling_fraud", "hate", "insult", "sexual", "violence")
FEWEST_TOXIC = 3
"""hits of a category below which a document counts as free of it: one word in a short text proves nothing"""
SCORE_DEFINITIONS = {
    "seams": "log-odds that words follow each other as in word salad, see `machine_text`",
    "even_cut_share": "Han characters in runs of one and the same length between anything else, of all",
    "stuffed_words": "tokens of a short page in a word or 5-gram that is there again and again, of all",
    "stuffed_han": "the same of Han characters, by pairs of them",
    "chain_seams": "seams, where n-gram models of the corpus itself find the text chain-like; else 0",
    **{
        f"toxic_{category}": f"hits of the lists of {category} for each 1,000 tokens; 0 for fewer than {FEWEST_TOXIC}"
        for category in CATEGORIES
    },
    "toxicity": "what the classifier of --toxicity-model says, larger for more toxic; NaN without one",
    "quality": "probability of being good, by the model of --quality-model; NaN without one",
    "perplexity": "exp of the mean surprise of a token, by the model of --perplexity-model; NaN without one",
    "chain_1": "what pairs of tokens tell beyond what triples add, by the same model: high where a chain of one token "
    "made the text; NaN without one, and below 50 tokens",
    "chain_2": "what triples tell beyond what runs of four add: high where a chain of two tokens made it",
}
SCORES = tuple(SCORE_DEFINITIONS)
MEASURES = (*TEXT_MEASURES, *SCORES)
"""All columns, in order."""
