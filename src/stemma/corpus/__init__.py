"""Documents in, clean documents out.

Reading
    document.py         what a document is
    files.py            which files an input means; compressed files that end early are errors
    read.py             documents and raw records as streams; errors name file and line
    html.py             the main text of a web page, and what the page says of itself
    warc.py             the pages of a web archive
    parts.py            an input cut into parts, the unit of work

Putting a document right
    repair.py           misread encodings, markup, and what the next two find
    furniture.py        lines that belong to a page and not to its text
    loops.py            text that says the same again and again
    personal/           personal information: find, prove, replace

One document's numbers, a batch of documents at a time
    characters.py       kinds and folding of characters, as tables; utf8.py reads them in compiled loops
    hashing.py          64-bit hashes, of words and of runs of tokens, and tables of them
    scan.py             the pass: histogram, counts, tokens, lines, paragraphs, identity
    lexicon.py          words and phrases that the pass looks for; teasers.py: how texts break off
    repetition.py       how much of a document repeats itself
    measures.py         all numbers that a text alone gives
    language.py         which language a text is in; language_model.py tells those in Latin letters apart
    language_codes.py   what languages are called, and which scripts say one
    machine_text.py     signs of text that a program put together
    toxicity.py         toxic words and mentions of groups (word_lists/)
    scores.py           the last two, and what the user's models say
    columns.py          the names of all numbers, in order

Models, trained on documents
    ngram_model.py      n-grams of tokens: perplexity, chains
    quality.py          a linear classifier of good and bad documents
    embed.py            vectors of documents

Deciding on a document
    decide.py           the thresholds, and the reason for which a document goes
    rule_sets.py        published sets of rules, by name
    benchmark_texts.py  the texts of evaluation sets
    overlap.py          a compiled search for pieces of known texts
    decontaminate.py    which evaluation items a document holds, and how much of each

Duplicates
    duplicates.py       equal texts and equal ids, by keys
    minhash.py          signatures and band keys of near copies
    near.py             near duplicates: candidates, proof, who stays
    semantic.py         documents that say the same in other words
    passages.py         passages that stand in an earlier document
    lines.py            lines and paragraphs that do
    cuts.py             taking such pieces out so that what stays reads on

Stages of a cleaning run
    summary.py          settings and summary, as data
    job.py              all stages in order; what a task is given and where its files lie
    crew.py             who carries out the tasks
    annotated.py        the files of annotated parts, which all later stages read
    annotating.py       the stages, in order: repair and measure,
    judging.py              verdicts on single documents,
    deduplicating.py        equal and near copies,
    meaning.py              documents that say the same,
    cutting.py              passages, paragraphs and lines,
    ledger.py               documents and decisions written
    tally.py            what a part adds to the summary; curves.py: what every border costs
    clean.py            the whole run
    explain.py          afterwards: why a document is where it is, what other borders would do
    weights.py          afterwards: how often to draw each document

playground/             the built-in corpus
"""

from stemma.corpus.document import Document
from stemma.corpus.read import BadRecords, read_documents, read_records

__all__ = ["BadRecords", "Document", "read_documents", "read_records"]
