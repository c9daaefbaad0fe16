"""The check characters of identifiers, as their standards give them. Letters come in upper case."""

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CREDIT_CODE_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_CODE_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

# ISO 13616 registry: how many characters an IBAN of each country has.
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS = {country: length for length, names in _IBAN_COUNTRIES.items() for country in names.split()}


def id_card_check(first_seventeen: str) -> str:
    """The check character of a resident id, GB 11643-1999: ISO 7064 mod 11-2."""
    total = sum(int(digit) * weight for digit, weight in zip(first_seventeen, _ID_WEIGHTS, strict=True))
    return "10X98765432"[total % 11]


def credit_code_check(first_seventeen: str) -> str | None:
    """The check character of a unified social credit code, GB 32100-2015: mod 31; None for a letter it does not use."""
    places = [_CREDIT_CODE_LETTERS.find(letter) for letter in first_seventeen]
    if min(places) < 0:
        return None
    total = sum(place * weight for place, weight in zip(places, _CREDIT_CODE_WEIGHTS, strict=True))
    return _CREDIT_CODE_LETTERS[-total % 31]


def luhn_holds(digits: str) -> bool:
    """Whether the last digit of a card number is right, ISO/IEC 7812-1."""
    plain = sum(int(digit) for digit in digits[-1::-2])
    return (plain + sum(_LUHN_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def iban_holds(value: str) -> bool:
    """Whether an IBAN without spaces has its country's length and its check digits, ISO 13616: mod 97."""
    if IBAN_LENGTHS.get(value[:2]) != len(value):
        return False
    return int("".join(str(int(letter, 36)) for letter in value[4:] + value[:4])) % 97 == 1
