"""What the documentation says is run, in both languages: commands, recipes, Python blocks, names of keys and files.

Each English page runs in a copy of a prepared folder (tests/golden, a small playground, a tiny base and chat model), block
by block, in this process; the Chinese page has the same blocks. Trainings are shortened; `quickstart`, `run` and
`torchrun` are read as far as their options and recipes go. Tables are held to what the program says: of families, of
chat formats, of recorded cases. A golden folder is verified once for all pages.
"""

import dataclasses
import importlib
import io
import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
import tokenizers
import tyro

from stemma.chain.recipe import ChainRecipe
from stemma.chain.stages import Stages
from stemma.cli import VERBS, main, module_of
from stemma.config import load_toml, override, parse
from stemma.corpus.playground import write_playground
from stemma.model.spec import Spec
from stemma.train.pretrain import PretrainSettings
from stemma.train.sft import SftSettings

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
ENGLISH, CHINESE = ROOT / "docs" / "en", ROOT / "docs" / "zh"
PAIRS = {
    "README": (ROOT / "README.md", ROOT / "README.zh.md"),
    **{page.stem: (page, CHINESE / page.name) for page in sorted(ENGLISH.glob("*.md"))},
}
PAGES = list(PAIRS)

RECIPES: dict[str, type] = {"base.toml": PretrainSettings, "chat.toml": SftSettings, "spec.toml": Spec}
LONG = ("quickstart", "run")
SHORTER = {
    "corpus playground": {"--size": "300"},
    "pretrain": {"--steps": "2", "--train.batch_size": "2"},
    "upgrade": {"--heal-steps": "2"},
    "evaluate": {"--max-new-tokens": "4"},
    "chat": {"--max-new-tokens": "4"},
    "generate": {"--max-new-tokens": "4"},
}
KEPT = {"dialogues.jsonl": 60, "questions.jsonl": 6, "heldout.jsonl": 40}  # lines of the small playground
OUTSIDE = (". .venv/bin/activate",)
WITHOUT_LENGTH_DEVICES = ["position.scaling=none", "logn=none"]  # what Qwen 1 adds beyond its trained length


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


class Command(NamedTuple):
    """A command, the exit status it is said to have, and what it is said to print (None: not said)."""

    line: str
    status: int = 0
    printed: list[str] | None = None


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def codes(page: Path) -> list[str]:
    """What stands in backquotes outside the blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(block: Block) -> Iterator[Command]:
    if block.language == "sh":
        yield from (Command(line) for line in block.text.splitlines() if line)
    if block.language == "console":
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, *printed = part.splitlines()
            line, _, status = line.partition("  # exit ")
            yield Command(line, int(status or 0), printed)


def page_commands(page: Path) -> list[Command]:
    return [command for block in blocks(page) for command in commands(block)]


def named_recipes() -> dict[str, str]:
    """TOML blocks that begin with `# name.toml`."""
    texts = [block.text for page, _ in PAIRS.values() for block in blocks(page) if block.language == "toml"]
    found = [(re.match(r"# ([\w-]+\.toml)\n", text), text) for text in texts]
    return {match.group(1): text for match, text in found if match}


def verb_of(words: list[str]) -> str:
    verb = next((v for v in (" ".join(words[:2]), words[0]) if v in VERBS), None)
    assert verb, f"stemma {' '.join(words)}: no such verb"
    return verb


def shortened(words: Sequence[str]) -> list[str]:
    """The command with fewer steps, documents and tokens; --heal-steps only where there is healing."""
    words = list(words)
    for flag, value in SHORTER.get(verb_of(words), {}).items():
        if flag in words:
            words = [
                value if before == flag else word for before, word in zip(["", *words], words, strict=False)
            ]
        elif flag != "--heal-steps":
            words = [*words, flag, value]
    return words


def read_only(words: list[str]) -> None:
    """Parse options, overrides and recipe of a command that is too long to run."""
    verb = verb_of(words)
    module = importlib.import_module(module_of(verb))
    args, overrides = tyro.cli(
        module.Args, args=words[len(verb.split()) :], return_unknown_args=True, prog=f"stemma {verb}"
    )
    recipe = getattr(args, "recipe", None)
    data = (
        load_toml(recipe)
        if recipe
        else tomllib.loads((files("stemma.chain") / "quickstart.toml").read_text("utf-8"))
    )
    settings = parse(RECIPES.get(recipe.name if recipe else "", ChainRecipe), override(data, overrides), verb)
    if isinstance(settings, ChainRecipe):
        Stages(settings, args.out).check()


def run_command(command: Command, made: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Carry one command out. A prepared folder it is to write is removed first, one the page made itself is not."""
    if command.line in OUTSIDE:
        return
    program, *words = shlex.split(command.line)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), command.line
        return
    if program == "torchrun":
        read_only(words[words.index("stemma") + 1 :])
        return
    assert program == "stemma", f"{command.line}: the test does not know this program"
    if verb_of(words) in LONG:
        read_only(words)
        return
    if "--out" in words:
        out = words[words.index("--out") + 1]
        if out not in made and Path(out).is_dir():
            shutil.rmtree(out)
        made.add(out)
    sys.stdin = io.StringIO("How old is Karen?\n")
    capsys.readouterr()
    status = main(shortened(words))
    printed = capsys.readouterr()
    assert status == command.status, f"{command.line}\n{printed.err}"
    if verb_of(words) == "corpus playground":
        thin(Path(words[words.index("--out") + 1]))
    if command.printed is not None:
        compare(command, (printed.err if status else printed.out).splitlines())


def thin(corpus: Path) -> None:
    """Leave some lines of the playground's larger files."""
    for name, number in KEPT.items():
        path = corpus / name
        path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:number]), "utf-8")


def compare(command: Command, printed: list[str]) -> None:
    """Equal lines, up to a last line `...` that stands for the rest."""
    wanted = command.printed or []
    if wanted and wanted[-1] == "...":
        wanted = wanted[:-1]
        printed = printed[: len(wanted)]
    assert [line.rstrip() for line in printed] == wanted, command.line


def table(page: Path, columns: Sequence[str]) -> list[list[str]]:
    """The rows, as cells, of the table with this heading."""
    lines = page.read_text("utf-8").splitlines()
    start = lines.index("| " + " | ".join(columns) + " |") + 2
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return [cells(line) for line in lines[start:end]]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def record_vectors(tokenizer: Path, root: Path, vectors: Path) -> None:
    """A folder as `tokenizer verify` wants it: this tokenizer as the one of gpt2, with ids from the library itself."""
    shutil.copytree(tokenizer, root / "gpt2")
    library = tokenizers.Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    lines = [
        {"family": "gpt2", "text": text, "ids": library.encode(text, add_special_tokens=False).ids}
        for text in ("How old is Karen?", "你好, world", " 1 234\n\n\tend", "naïve 🙂")
    ]
    vectors.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.fixture(scope="session", autouse=True)
def golden_verified_once() -> Iterator[None]:
    """Several pages verify tests/golden; what was found about one of its folders is kept."""
    from stemma.checkpoint import verify

    original, found = verify.verify, dict[Path, Any]()

    def once(folder: Path) -> Any:
        place = folder.resolve()
        if place.parent != GOLDEN:
            return original(folder)
        if place not in found:
            found[place] = original(folder)
        return dataclasses.replace(found[place], folder=folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "verify", once)
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder every page starts from."""
    folder = tmp_path_factory.mktemp("docs") / "prepared"
    folder.mkdir()
    for name in ("tests", "recipes"):
        (folder / name).symlink_to(ROOT / name)
    for name, text in named_recipes().items():
        (folder / name).write_text(text, "utf-8")
    write_playground(folder / "corpus", 0, 300)
    thin(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "clean corpus/documents.jsonl --out clean",
            "tokenizer train clean --vocab-size 600 --out tokenizer",
            "pretrain base.toml --out runs/base",
            "sft chat.toml --out runs/chat --epochs 1 --keep_epochs false",
        ):
            assert main(shortened(line.split())) == 0, line
    record_vectors(folder / "tokenizer", folder / "tokenizers", folder / "vectors.jsonl")
    for stage, stands_in in (("pretrain", "base"), ("sft", "chat"), ("upgrade", "base/model")):
        shutil.copytree(folder / "runs" / stands_in, folder / "runs" / "quickstart" / stage)
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, and the current folder of the test."""
    folder = tmp_path / "workplace"
    shutil.copytree(prepared, folder, symlinks=True, copy_function=shutil.copyfile)
    for path in folder.rglob("*"):  # token files are known by their times of change
        if path.is_file() and not path.is_symlink():
            shutil.copystat(prepared / path.relative_to(folder), path)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)  # whichever page is first verifies all golden folders
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_and_python_blocks_of_a_page_run(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAIRS[name][0]
    made: set[str] = set()
    namespace: dict[str, Any] = {"__name__": f"docs_{name}"}
    for block in blocks(page):
        for command in commands(block):
            run_command(command, made, capsys)
        if block.language == "python":
            exec(compile(block.text, str(page), "exec"), namespace)  # noqa: S102


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(p.name for p in ENGLISH.iterdir()) == sorted(p.name for p in CHINESE.iterdir())


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_have_the_same_blocks_headings_and_names(name: str) -> None:
    english, chinese = PAIRS[name]
    shown = [[(b.language, b.text if b.language != "text" else "") for b in blocks(p)] for p in PAIRS[name]]
    assert shown[0] == shown[1]
    levels = [re.findall(r"^#+ ", prose(page), re.MULTILINE) for page in PAIRS[name]]
    assert levels[0] == levels[1]
    assert sorted(set(codes(english)) ^ set(codes(chinese))) == [], "names in one language only"
    rows = [len(re.findall(r"^\|", prose(page), re.MULTILINE)) for page in PAIRS[name]]
    assert rows[0] == rows[1], "table rows"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    for page in PAIRS[name]:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)", prose(page)):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("name", PAGES)
def test_paths_verbs_and_options_in_the_text_exist(name: str) -> None:
    page = PAIRS[name][0]
    options = all_options()
    for code in codes(page):
        if re.match(r"(src|tests|recipes|docs)/", code) and "NAME" not in code:
            assert (ROOT / code).exists(), f"{page}: {code}"
        if code.startswith("pytest "):
            assert (ROOT / code.split()[1]).exists(), f"{page}: {code}"
        if code.startswith("stemma ") and "VERB" not in code:
            verb_of(code.split()[1:])
        for flag in re.findall(r"(?<!\S)--([a-z][\w-]*)(?![\w.-])", code):
            assert flag.removeprefix("no-").replace("-", "_") in options, f"{page}: --{flag}"


@pytest.mark.parametrize("page", PAIRS["README"], ids=["en", "zh"])
def test_the_readme_has_the_figures_and_the_picture_of_a_real_run(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"\{\{.*?\}\}", text) == []
    assert all((page.parent / target).is_file() for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))


def test_the_readme_shows_every_verb_and_every_room() -> None:
    page = PAIRS["README"][0]
    shown = {verb_of(shlex.split(c.line)[1:]) for c in page_commands(page) if c.line.startswith("stemma ")}
    assert set(VERBS) - shown - {"quickstart"} == set()
    tree = next(block.text for block in blocks(page) if block.language == "text")
    rooms = {p.parent.name for p in (ROOT / "src" / "stemma").glob("*/__init__.py")}
    assert {room for room in rooms if f"  {room}/" not in tree} == set()


def test_recipes_on_the_pages_are_read_strictly() -> None:
    found = named_recipes()
    assert set(found) == set(RECIPES)
    for name, text in found.items():
        parse(RECIPES[name], tomllib.loads(text), name)


def test_every_key_and_name_is_documented(prepared: Path) -> None:
    import pyarrow.parquet

    from stemma.chain.recipe import ChainRecipe
    from stemma.corpus.rule_sets import RULE_SETS
    from stemma.evaluate.evaluation import EvaluationResult
    from stemma.families import families
    from stemma.tokenizer.templates import BUILTIN_TEMPLATES
    from stemma.train.settings import FREE_KEYS
    from stemma.upgrade.certificate import Certificate, CertifiedStep, Measurement, Side, Tensors
    from stemma.upgrade.path import OPERATIONS

    document = pyarrow.parquet.read_table(prepared / "clean" / "documents").to_pylist()[0]
    certified = [
        f.name
        for c in (Certificate, CertifiedStep, Measurement, Side, Tensors)
        for f in dataclasses.fields(c)
    ]
    wanted: dict[str, list[str]] = {
        "training": [*dotted(PretrainSettings, Spec), *dotted(SftSettings, Spec), *FREE_KEYS],
        "model": sorted({key.rpartition(".")[2] for key in dotted(Spec)}),
        "upgrade": [operation.name for operation in OPERATIONS] + certified,
        "corpus": [path.name for path in (prepared / "corpus").iterdir()],
        "cleaning": [
            *pyarrow.parquet.read_schema(prepared / "clean" / "decisions.parquet").names,
            *document,
            *RULE_SETS,
        ],
        "families": [f.name for f in families()] + [p.name for p in GOLDEN.iterdir() if p.is_dir()],
        "evaluation": [field.name for field in dataclasses.fields(EvaluationResult)],
        "quickstart": [field.name for field in dataclasses.fields(ChainRecipe)],
        "tokenizer": list(BUILTIN_TEMPLATES),
        "index": [],
    }
    for name, names in wanted.items():
        assert sorted(set(names) - set(codes(PAIRS[name][0]))) == [], f"not in {name}.md"


FAMILY_COLUMNS = {
    "en": ("layout", "opens", "what is special", "in a stock transformers", "chat format", "golden folders"),
    "zh": ("布局", "能打开", "特点", "原版 transformers 里", "对话格式", "基准目录"),
}


def stock_class(folder: Path) -> str:
    """Where a folder ends that is to be opened by a stock transformers: a class, a layout that has one, or nothing."""
    from stemma.errors import StemmaError
    from stemma.upgrade.target import open_start, resolve_target

    start = open_start(folder)
    if start.family.native:
        return start.family.native
    for changes in ([], WITHOUT_LENGTH_DEVICES):
        try:
            return resolve_target(start, ["transformers", *changes]).family.name
        except StemmaError:
            continue
    return ""


@pytest.mark.parametrize("language", FAMILY_COLUMNS)
def test_the_table_of_families_has_every_family_and_golden_folder_as_the_program_knows_them(
    language: str,
) -> None:
    from stemma.checkpoint import describe
    from stemma.families import families
    from stemma.families.presets import preset_names, preset_spec

    rows = table(PAIRS["families"][language == "zh"], FAMILY_COLUMNS[language])
    layouts = [names_in(row[0])[0] for row in rows]
    assert set(layouts) == {family.name for family in families()}
    places = {folder: row for row in rows for folder in names_in(row[5])}
    folders = {p.name: p for p in GOLDEN.iterdir() if (p / "config.json").is_file()}
    assert set(places) == set(folders)
    for name, folder in folders.items():
        row = places[name]
        assert names_in(row[0]) == [describe(folder).family.name], name
        assert names_in(row[3])[:1] == ([stock_class(folder)] if stock_class(folder) else []), name
    known = {(family.name, family.chat_template(spec)) for family, spec in map(preset_spec, preset_names())}
    said = {
        (layout, *names_in(row[4])) for layout, row in zip(layouts, rows, strict=True) if names_in(row[4])
    }
    assert {pair for pair in known if pair[1]} - said == set()
    assert {layout for layout, _ in said} == {layout for layout, chat in known if chat}


@pytest.mark.parametrize("columns", [("chat format", "used by", "tools"), ("对话格式", "谁在用", "工具")])
def test_the_table_of_chat_formats_says_which_write_tools(columns: tuple[str, ...]) -> None:
    from stemma.tokenizer.templates import BUILTIN_TEMPLATES

    page = PAIRS["tokenizer"][columns[0] != "chat format"]
    said = {names_in(name)[0]: bool(tools) for name, _, tools in table(page, columns)}
    assert said == {name: found.has_tools for name, found in BUILTIN_TEMPLATES.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_parity_table_is_what_verify_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["verify", "tests/golden", "--markdown"]) == 0
    printed = [cells(line) for line in capsys.readouterr().out.splitlines()]
    for page in PAIRS["parity"]:
        found = re.search(
            r"^<!-- parity table: begin -->\n(.*?)^<!-- parity table: end -->$",
            page.read_text("utf-8"),
            re.MULTILINE | re.DOTALL,
        )
        assert found, page
        said = [cells(line) for line in found[1].splitlines() if line]
        assert [without_difference(row) for row in said] == [without_difference(row) for row in printed]


def without_difference(row: list[str]) -> list[str]:
    """Folder, layout, case, tolerance and verdict; the difference is another one on another machine."""
    return [*row[:3], *row[4:]]


def test_figures_in_the_text_are_those_of_the_tests() -> None:
    bound = re.search(
        r"^BOUND = (\S+)", (ROOT / "tests/parity/test_bfloat16.py").read_text("utf-8"), re.MULTILINE
    )
    folders = [p for p in GOLDEN.iterdir() if (p / "expected.safetensors").is_file()]
    assert bound
    assert all(bound[1] in codes(page) for page in PAIRS["parity"])
    assert all(re.search(rf"\b{len(folders)} ", prose(page)) for page in PAIRS["README"])


def test_the_index_leads_to_every_page() -> None:
    for index in PAIRS["index"]:
        linked = re.findall(r"\]\(([\w]+\.md)\)", prose(index))
        assert sorted(linked) == sorted(p.name for p in ENGLISH.glob("*.md") if p.name != "index.md")


def test_the_comparison_of_output_sees_a_changed_line() -> None:
    said = Command("stemma show x", 0, ["family llama", "..."])
    compare(said, ["family llama", "more"])
    with pytest.raises(AssertionError):
        compare(said, ["family baichuan", "more"])


def dotted(cls: type, *leaves: type, prefix: str = "") -> list[str]:
    """Dotted names of all keys of a settings class; `leaves` are not opened."""
    names: list[str] = []
    for name, hint in get_type_hints(cls).items():
        inner = [c for c in parts(hint) if dataclasses.is_dataclass(c) and c not in leaves]
        if inner:
            names += [key for c in inner for key in dotted(c, *leaves, prefix=f"{prefix}{name}.")]
        else:
            names.append(prefix + name)
    return names


def parts(hint: Any) -> list[type]:
    """The classes inside a type hint."""
    return [c for a in get_args(hint) for c in parts(a)] if get_args(hint) else [hint]


def all_options() -> set[str]:
    """Names of the options of all verbs."""
    modules = [importlib.import_module(module_of(verb)) for verb in VERBS]
    return {field.name for module in modules for field in dataclasses.fields(module.Args)} | {"help"}
