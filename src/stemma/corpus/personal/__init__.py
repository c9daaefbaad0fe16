"""Personal information: found by position and proved, then replaced by a typed placeholder.

    forms.py      ASCII and full-width characters in UTF-8 bytes
    cluster.py    digits and separators: may they be a number
    trigger.py    one compiled pass over the bytes: where a value may stand
    span.py       what is found, and the folded text around a trigger
    checksum.py   the check characters of identifiers
    border.py     neighbours and labels of a value
    email.py      e-mail addresses
    phone.py      Chinese mobiles and landlines, North American numbers
    identity.py   resident ids, social credit codes, social security numbers, passports
    card.py       bank and credit cards, IBANs
    address.py    public IPv4 and IPv6 addresses
    secret.py     access keys and private keys
    find.py       triggers to spans, of a text or of a batch

What only looks alike stays: wrong check digits, private addresses, versions, longer numbers, numbers of things.
"""

from stemma.corpus.personal.checksum import id_card_check
from stemma.corpus.personal.find import Spans, find_personal, find_spans, redact
from stemma.corpus.personal.span import TYPES, Span, Type

__all__ = ["TYPES", "Span", "Spans", "Type", "find_personal", "find_spans", "id_card_check", "redact"]
