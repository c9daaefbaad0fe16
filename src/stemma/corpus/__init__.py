"""Documents in, clean documents out.

Read in this order:
    document.py     what a document is
    files.py        which files an input means; compressed files that end early are errors
    read.py         documents and raw records as streams; errors name file and line
    characters.py   classes and folding of characters, as tables
    scan.py         one compiled pass over a text: counts, folded text, token and line hashes
    ngrams.py       hashes of token runs; how much of a text repeats
    annotate.py     numbers about a document
    decide.py       the thresholds, and a reason for each document that goes
    minhash.py      signatures and band keys of near copies
    near.py         near duplicates: candidates, proof, who stays
    repair.py       misread encodings, markup, page furniture (furniture.py): what can be put right
    language.py     which language a text is in
    benchmark_texts.py  the texts of evaluation sets
    overlap.py      a compiled search for pieces of known texts
    decontaminate.py    which evaluation items a document holds, and how much of each
    personal/       personal information: find, prove, replace
    spool.py        the corpus on disk between the two passes
    ledger.py       writes documents and decisions, and counts
    summary.py      settings and summary as data
    clean.py        the pipeline
    playground/     the built-in corpus
"""

from stemma.corpus.document import Document
from stemma.corpus.read import BadRecords, read_documents, read_records

__all__ = ["BadRecords", "Document", "read_documents", "read_records"]
