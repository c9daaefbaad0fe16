"""The built-in playground corpus: a small consistent Chinese/English world, generated from a seed.

Raw documents with planted, labelled dirt; training dialogues; evaluation questions whose combinations no training
dialogue answers; graded preference pairs; held-out documents by domain. Everything is ours and deterministic.
"""

from stemma.corpus.playground.dialogues import dialogues
from stemma.corpus.playground.dirt import documents, labelled_documents
from stemma.corpus.playground.documents import held_out_documents
from stemma.corpus.playground.preferences import preferences
from stemma.corpus.playground.questions import questions
from stemma.corpus.playground.world import make_world
from stemma.corpus.playground.write import write_playground

__all__ = [
    "dialogues",
    "documents",
    "held_out_documents",
    "labelled_documents",
    "make_world",
    "preferences",
    "questions",
    "write_playground",
]
