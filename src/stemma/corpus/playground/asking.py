"""Questions about the world, each with its one right answer in one fixed wording, and wrong answers of its form.

A `Turn` is one exchange. `key` names the combination asked for, whatever the wording and the language: it is what
may be held out. Follow-up forms ("And where does she live?", "What about Anna?", "How much are 3 of them?", "Say
that in Chinese.") need the turns before them.
"""

from dataclasses import dataclass

from stemma.corpus.playground import sentences as say
from stemma.corpus.playground.documents import Event, day_word, event_sentence, random_event
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.world import (
    AGES,
    BASE_FORMS,
    PRICES,
    RELATIONS,
    VALUES,
    VERBS,
    Word,
    World,
    age,
    older,
)

NUM_WRONG = 3


@dataclass(frozen=True)
class Turn:
    """One question and its answer, with `NUM_WRONG` wrong answers."""

    kind: str
    key: tuple[object, ...]
    question: str
    answer: str
    wrong: tuple[str, ...] = ()


# {s} subject, {p} possessive; wording 0 also serves follow-ups with a pronoun.
_FACT = {
    "en": {
        "city": ("where does {s} live?", "in which city does {s} live?", "which city is {p} home?"),
        "job": ("what is {p} job?", "what does {s} do for a living?", "what does {s} work as?"),
        "age": ("how old is {s}?", "what is {p} age?", "how many years old is {s}?"),
        "hobby": ("what does {s} like?", "what is {p} hobby?", "what does {s} enjoy on free days?"),
        "food": ("what does {s} love to eat?", "what is {p} favourite food?", "which food does {s} love?"),
        "day": ("on which day does {s} rest?", "when is {p} day off?", "which day is {s} free?"),
        "kin": ("who is {p} {r}?", "what is the name of {p} {r}?", "what is {p} {r} called?"),
    },
    "zh": {
        "city": ("{s}住在哪里？", "{s}住在哪个城市？", "{p}家在哪里？"),
        "job": ("{p}工作是什么？", "{s}做什么工作？", "{s}是做什么的？"),
        "age": ("{s}今年多大？", "{s}几岁了？", "{p}年龄是多少？"),
        "hobby": ("{s}喜欢什么？", "{p}爱好是什么？", "{s}有空做什么？"),
        "food": ("{s}爱吃什么？", "{p}最爱的菜是什么？", "{s}经常吃什么？"),
        "day": ("{s}星期几休息？", "{p}休息日是哪天？", "{s}哪天有空？"),
        "kin": ("{p}{r}是谁？", "{p}{r}叫什么？", "谁是{p}{r}？"),
    },
}
_PRICE = {
    "en": ("how much is {one}?", "what does {one} cost?", "what is the price of {one}?"),
    "zh": ("{one}多少钱？", "{one}要几元？", "买{one}得付多少？"),
}
_TOTAL = {
    "en": ("how much are {many}?", "what do {many} cost?", "how much do I pay for {many}?"),
    "zh": ("{many}多少钱？", "{many}要几元？", "买{many}得付多少？"),
}
_SUM = {
    "en": ("what is {sum}?", "how much is {sum}?", "add up {sum}."),
    "zh": ("{sum}是多少？", "{sum}等于几？", "请算{sum}。"),
}
_CLOCK = {
    "en": (
        "it is {h} o'clock. What time is it in {d} hours?",
        "it is {h} o'clock. What will the time be in {d} hours?",
    ),
    "zh": ("现在{h}点，{d}个小时以后是几点？", "现在{h}点，再过{d}个小时是几点？"),
}
_OLDER = {
    "en": ("who is older, {a} or {b}?", "{a} or {b}, who is older?"),
    "zh": ("{a}和{b}谁年纪大？", "谁年纪大，{a}还是{b}？"),
}
# (language of the request, language wanted)
_TRANSLATE = {
    ("en", "zh"): ("translate into Chinese: {text}", "say this in Chinese: {text}"),
    ("en", "en"): ("translate into English: {text}", "say this in English: {text}"),
    ("zh", "en"): ("翻译成英语：{text}", "用英语说这句话：{text}"),
    ("zh", "zh"): ("翻译成汉语：{text}", "用汉语说这句话：{text}"),
}
_AGAIN = {
    "en": ("say that in Chinese.", "and in Chinese?", "please repeat that in Chinese."),
    "zh": ("用英语再说一遍。", "英语怎么说？", "请用英语说。"),
}
_WHAT = {"en": "what did {name} {base}?", "zh": "{name}{verb}什么？"}
_WHO = {"en": "who {verb} {things}?", "zh": "谁{verb}{things}？"}
_WHEN = {"en": "when did {name} {base} {things}?", "zh": "{name}什么时候{verb}{things}？"}
NOTED = {"en": "I see.", "zh": "知道了。"}


def ask_fact(world: World, lang: str, person: int, name: str, draw: Draw, form: str = "name") -> Turn:
    """An attribute or relative of a person: by `form` "name", "pronoun" (the person spoken of) or "same" (the same
    question about another person)."""
    relation = name in RELATIONS
    if form == "same":
        who = world.people[person].name(lang)
        question = draw.pick(
            ("and {}?", "what about {}?") if lang == "en" else ("那{}呢？", "{}呢？")
        ).format(who)
    else:
        wordings = _FACT[lang]["kin" if relation else name]
        pronoun = form == "pronoun"
        opening = ("and " if lang == "en" else "那") if pronoun and draw.chance(0.5) else ""
        question = opening + draw.pick(wordings).format(
            s=say.subject_word(world, lang, person, pronoun),
            p=say.possessive(world, lang, person, pronoun),
            r=RELATIONS[name](lang) if relation else "",
        )
    wrong = [say.fact(world, lang, person, name, value=v) for v in _other_values(world, person, name, draw)]
    kind = "kinship" if relation else "time" if name == "day" else "fact"
    return _turn(kind, ("fact", person, name), question, say.fact(world, lang, person, name), wrong)


def ask_price(world: World, lang: str, thing: int, draw: Draw) -> Turn:
    """The price of one thing."""
    question = draw.pick(_PRICE[lang]).format(one=say.count(world, lang, thing, 1))
    others = draw.sample([p for p in PRICES if p != world.things[thing].price], NUM_WRONG)
    wrong = [say.price(world, lang, thing, value=p) for p in others]
    return _turn("price", ("price", thing), question, say.price(world, lang, thing), wrong)


def ask_total(
    world: World, lang: str, thing: int, quantity: int, draw: Draw, *, of_them: bool = False
) -> Turn:
    """The price of several: 3 apples, or 3 of the thing spoken of."""
    many = say.count(world, lang, thing, quantity)
    if of_them:
        many = f"{quantity} of them" if lang == "en" else f"{quantity}{world.things[thing].measure}"
    question = draw.pick(_TOTAL[lang]).format(many=many)
    others = draw.sample([p for p in PRICES if p != world.things[thing].price], NUM_WRONG)
    wrong = [say.total(world, lang, thing, quantity, unit=p) for p in others]
    key = ("product", thing, quantity)
    return _turn("product", key, question, say.total(world, lang, thing, quantity), wrong)


def ask_sum(lang: str, numbers: tuple[int, int, int], draw: Draw) -> Turn:
    """The sum of three numbers."""
    question = draw.pick(_SUM[lang]).format(sum=" + ".join(map(str, numbers)))
    answer = say.sum_of(lang, numbers)
    total = str(sum(numbers))
    head, _, end = answer.rpartition(total)
    wrong = [head + str(sum(numbers) + off) + end for off in draw.sample((-3, -2, -1, 1, 2, 3), NUM_WRONG)]
    return _turn("arithmetic", ("sum", *sorted(numbers)), question, answer, wrong)


def ask_clock(lang: str, hour: int, later: int, draw: Draw) -> Turn:
    """What time it is some hours after another time."""
    question = draw.pick(_CLOCK[lang]).format(h=hour, d=later)
    answer = say.clock(lang, hour, later)
    off = draw.sample((-2, -1, 1, 2), NUM_WRONG)
    wrong = [answer.replace(str(hour + later), str(hour + later + o)) for o in off]
    return _turn("clock", ("clock", hour, later), question, answer, wrong)


def ask_older(world: World, lang: str, first: int, second: int, draw: Draw) -> Turn:
    """Who of two people is the older one."""
    names = [world.people[i].name(lang) for i in (first, second)]
    question = draw.pick(_OLDER[lang]).format(a=names[0], b=names[1])
    answer = say.comparison(world, lang, first, second)
    winner = world.people[older(world, first, second)].name(lang)
    head, _, end = answer.rpartition(winner)
    wrong = [head + (names[0] if winner == names[1] else names[1]) + end]
    for off in draw.sample((-3, -2, -1, 1, 2, 3), NUM_WRONG - 1):
        wrong.append(answer.replace(str(age(world, first)), str(age(world, first) + off), 1))
    return _turn("comparison", ("older", *sorted((first, second))), question, answer, wrong)


def ask_translation(
    world: World, lang: str, wanted: str, subject: tuple[int, str] | Event, draw: Draw
) -> Turn:
    """A request in `lang` to translate a fact (person, name) or an event into the language `wanted`."""
    text = _sentence(world, "zh" if wanted == "en" else "en", subject)
    question = draw.pick(_TRANSLATE[lang, wanted]).format(text=text)
    return _translated(world, wanted, subject, question, draw)


def ask_again(world: World, lang: str, subject: tuple[int, str], draw: Draw) -> Turn:
    """A request to say the last answer, a fact, in the other language."""
    return _translated(world, "zh" if lang == "en" else "en", subject, draw.pick(_AGAIN[lang]), draw)


def answer_again(world: World, lang: str, key: tuple[object, ...], draw: Draw) -> Turn:
    """The turn asking for the same key in another language: its answers say the same things there."""
    kind, *rest = key
    ask = {"fact": ask_fact, "price": ask_price, "product": ask_total, "older": ask_older}[str(kind)]
    return ask(world, lang, *rest, draw)  # pyright: ignore[reportArgumentType]


def tell(world: World, lang: str, events: list[Event]) -> Turn:
    """The user tells what happened; the assistant takes note."""
    told = say.join(lang, [event_sentence(world, lang, e) for e in events])
    return Turn("told", ("told",), told, NOTED[lang])


def ask_event(world: World, lang: str, event: Event, draw: Draw) -> Turn:
    """What, who or when, about an event told before."""
    person, verb, thing, quantity, day = event
    what = draw.below(3)
    question = (_WHAT, _WHO, _WHEN)[what][lang].format(
        name=world.people[person].name(lang),
        base=BASE_FORMS[verb],
        verb=VERBS[verb](lang),
        things=say.count(world, lang, thing, quantity),
    )
    wrong: list[str] = []
    while len(wrong) < NUM_WRONG:
        other = random_event(world, draw)
        mixed = (
            (person, verb, other[2], other[3], day),
            (other[0], verb, thing, quantity, day),
            (person, verb, thing, quantity, other[4]),
        )[what]
        text = _answer_event(world, lang, mixed, with_day=what == 2)
        if (
            mixed != event
            and text not in wrong
            and text != _answer_event(world, lang, event, with_day=what == 2)
        ):
            wrong.append(text)
    answer = _answer_event(world, lang, event, with_day=what == 2)
    return _turn("context", ("event", person, verb, thing), question, answer, wrong)


def _turn(kind: str, key: tuple[object, ...], question: str, answer: str, wrong: list[str]) -> Turn:
    return Turn(kind, key, say.capitalised(question), answer, tuple(wrong))


def _answer_event(world: World, lang: str, event: Event, *, with_day: bool) -> str:
    text = event_sentence(world, lang, event)
    day = day_word(lang, event[4])
    return text if with_day else text.replace(f" on {day}" if lang == "en" else f"{day}，", "")


def _sentence(world: World, lang: str, subject: tuple[int, str] | Event) -> str:
    return say.fact(world, lang, *subject) if len(subject) == 2 else event_sentence(world, lang, subject)


def _translated(
    world: World, wanted: str, subject: tuple[int, str] | Event, question: str, draw: Draw
) -> Turn:
    answer = _sentence(world, wanted, subject)
    wrong: list[str] = []
    if len(subject) == 2:
        key: tuple[object, ...] = ("fact", *subject)
        wrong = [say.fact(world, wanted, *subject, value=v) for v in _other_values(world, *subject, draw)]
    else:
        key = ("event", *subject[:3])
        person, verb, thing, quantity, day = subject
        while len(wrong) < NUM_WRONG:
            other = random_event(world, draw)
            mixed = draw.pick(
                [
                    (other[0], verb, thing, quantity, day),
                    (person, verb, other[2], quantity, day),
                    (person, verb, thing, quantity, other[4]),
                ]
            )
            text = event_sentence(world, wanted, mixed)
            if text not in (*wrong, answer):
                wrong.append(text)
    return _turn("translation", key, question, answer, wrong)


def _other_values(world: World, person: int, name: str, draw: Draw) -> list[Word]:
    right = say.value_of(world, person, name)
    if name in RELATIONS:
        female = world.people[world.kin[person, name]].female
        values = [p.name for i, p in enumerate(world.people) if i != person and p.female == female]
    elif name == "age":
        generation = AGES["parent" if age(world, person) >= AGES["parent"][0] else "child"]
        values = [Word(str(years), str(years)) for years in range(generation[0], generation[1] + 1)]
    else:
        values = list(VALUES[name])
    return draw.sample([v for v in values if v != right], NUM_WRONG)
