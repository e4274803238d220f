"""Columns of texts: levels, ordinal labels, free text, cells with structure, and encodings."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator

from benchmarks.inference_collection import File, decimals, numbers, picks, with_holes
from benchmarks.inference_truth import meaning

WORDS = (
    *("the", "delivery", "came", "late", "and", "damaged", "but", "service", "was", "kind", "we", "will", "order"),
    *("again", "never", "support", "answered", "quickly", "price", "too", "high", "quality", "good", "colour"),
)

ENCODINGS: dict[str, tuple[str, list[str]]] = {
    "utf-8-sig": ("bom", ["Köln", "Zürich", "Genève", "Århus"]),
    "cp1252": ("windows", ["Köln – Süd", "Café „Zürich“", "Größe 10 €", "L\u2019Été"]),
    "latin-1": ("latin_1", ["Köln", "Zürich", "Genève", "Århus", "Española"]),
    "iso8859-15": ("latin_9", ["10 € Köln", "Cœur", "Žižkov", "Århus"]),
    "cp1250": ("central_european", ["Łódź", "Kraków", "Příbram", "Šumperk", "Győr"]),
    "iso8859-2": ("latin_2", ["Łódź", "Kraków", "Příbram", "Šumperk", "Győr"]),
    "cp1251": ("cyrillic", ["Москва", "Казань", "Омск", "Пермь"]),
    "koi8-r": ("koi8", ["Москва", "Казань", "Омск", "Пермь"]),
    "cp1253": ("greek", ["Αθήνα", "Πάτρα", "Λάρισα", "Βόλος"]),
    "iso8859-7": ("greek_iso", ["Αθήνα", "Πάτρα", "Λάρισα", "Βόλος"]),
    "cp1254": ("turkish", ["İstanbul", "Eskişehir", "Muğla", "K\u0131rşehir"]),
    "cp1257": ("baltic", ["Rīga", "Vilnius", "Šiauliai", "Panevėžys"]),
    "cp850": ("dos", ["Köln", "Zürich", "Genève", "Århus"]),
    "mac-roman": ("macintosh", ["Köln", "Zürich", "Genève", "Århus"]),
    "utf-16": ("utf_16", ["Köln", "Zürich", "Genève", "東京"]),
    "utf-16-le": ("utf_16_no_mark", ["Köln", "Zürich", "Genève", "Århus"]),
    "utf-32": ("utf_32", ["Köln", "Zürich", "Genève", "東京"]),
    "shift_jis": ("japanese", ["東京", "大阪", "名古屋", "京都", "ソニー"]),
    "euc_jp": ("japanese_unix", ["東京", "大阪", "名古屋", "京都"]),
    "gb18030": ("chinese", ["北京", "上海", "广州", "深圳"]),
    "big5": ("chinese_traditional", ["台北", "高雄", "臺中", "台南"]),
    "euc_kr": ("korean", ["서울", "부산", "대구", "인천"]),
}


def files() -> Iterator[File]:
    """Return the files."""
    yield from (_levels(), _spellings(), _ordinal(), _free_text(), _structured(), _empty(), _few_rows())
    for encoding in ENCODINGS:
        yield _encoded(encoding)
    broken = _encoded("utf-8-sig")
    broken.name = "encoding_one_wrong_byte"
    broken.edit = lambda whole: whole.replace("ö", "\udcf6", 1)
    yield broken


def _levels() -> File:
    """Write levels with white space around them, and white space that is part of them."""
    file = File("levels_padded", "text: padded levels")
    levels = ["red", "green", "blue", "dark red"]
    paddings = {
        "behind": ["{}", "{} ", "{}  "],
        "before": ["{}", " {}"],
        "tab": ["{}", "{}\t"],
        "no_break": ["{}", "{}\u00a0"],
        "line_end": ["{}", "{}\n"],
        "fixed_width": ["{:<10}"],
        "all_quoted_spaces": [" {} "],
    }
    for name, forms in paddings.items():
        values = picks(file.rng, file.n_rows, levels)
        places = file.rng.integers(0, 100, file.n_rows)
        cells = [forms[place % len(forms)].format(value) for value, place in zip(values, places, strict=True)]
        file.add(name, cells, meaning("text", values))
    amounts = decimals(file.rng, file.n_rows, 1, 90)
    file.add("padded_number", [f"{value:>9}" for value in amounts], numbers(amounts))
    return file


def _spellings() -> File:
    """Write levels that differ in case, in composition or in punctuation only; a reader keeps them as they are."""
    file = File("levels_spelt", "text: levels")
    rng, n = file.rng, file.n_rows
    file.add("case", picks(rng, n, ["Red", "red", "RED", "Blue", "blue"]))
    composed = picks(rng, n, ["café", "thé", "lait"])
    either = [unicodedata.normalize("NFD", text) if place % 3 == 0 else text for place, text in enumerate(composed)]
    file.add("composed", either, meaning("text", composed), meaning("text", either))
    file.add("quotes", picks(rng, n, ['5" pipe', 'say "hi"', "O'Brien", "plain"]))
    file.add("delimiters", picks(rng, n, ["Smith, John", "a;b", "c|d", "e\tf"]))
    file.add("line_breaks", picks(rng, n, ["first\nsecond", "one line", "a\r\nb"]))
    file.add("backslash", picks(rng, n, ["C:\\temp", "a\\b", "\\\\server"]))
    file.add("emoji", picks(rng, n, ["👍", "👎", "🤷‍♀️"]))
    file.add("symbols", picks(rng, n, ["<5", ">=5", "#1", "@home", "&", "$$$", "$$"]))
    file.add("single_letters", picks(rng, n, ["A", "B", "C", "T", "F"]))
    file.add("long_tail", [f"shop {int(place)}" for place in rng.geometric(0.2, n)])
    return file


def _ordinal() -> File:
    """Write labels that have an order."""
    file = File("ordinal", "text: ordinal labels")
    rng, n = file.rng, file.n_rows
    for name, levels in {
        "risk": ["low", "medium", "high"],
        "numbered": ["1 - low", "2 - medium", "3 - high"],
        "size": ["XS", "S", "M", "L", "XL"],
        "age_band": ["<18", "18-24", "25-34", "35-54", "55+"],
        "income_band": ["0-10k", "10k-50k", "50k+"],
        "employees": ["1-9", "10-49", "50-249", "250+"],
        "letter_grade": ["A+", "A", "A-", "B+", "B"],
        "quarter": ["Q1", "Q2", "Q3", "Q4"],
        "interval": ["(0, 10]", "(10, 20]", "(20, 30]"],
        "roman": ["I", "II", "III", "IV"],
        "years_employed": ["< 1 year", "1 year", "2 years", "10+ years"],
    }.items():
        file.add(name, picks(rng, n, levels))
    return file


def _free_text() -> File:
    """Write sentences, names and addresses."""
    file = File("free_text", "text: free text")
    rng, n = file.rng, file.n_rows
    sentences = [" ".join(rng.choice(WORDS, 9)) for _ in range(n)]
    file.add("review", sentences)
    file.add("comment", [f"{text}, \n“{text[:9]}”" for text in sentences])
    file.add("name", [f"{a.title()} {b.title()}" for a, b in rng.choice(WORDS, (n, 2))])
    file.add("address", [f"{number} Main St, Apt {number % 9}" for number in rng.integers(1, 9000, n)])
    cells, there = with_holes(rng, sentences, "", 0.6)
    file.add("note", cells, meaning("text", [cell if one else None for cell, one in zip(cells, there, strict=True)]))
    return file


def _structured() -> File:
    """Write lists, records and positions into cells."""
    file = File("structured", "text: structured cells")
    rng, n = file.rng, file.n_rows
    whole = rng.integers(0, 50, (n, 2))
    file.add("json", [json.dumps({"a": int(a), "b": [int(b)]}) for a, b in whole])
    file.add("list", [f"[{a}, {b}]" for a, b in whole])
    file.add("pipe_list", [f"x{a}|y{b}" for a, b in whole % 4])
    file.add("position", [f"{48 + a / 100:.4f}, {11 + b / 100:.4f}" for a, b in whole])
    file.add("degrees", [f"{a}°{b}'00\"N" for a, b in whole])
    file.add("xml", [f'<a b="{a}">{b}</a>' for a, b in whole])
    file.add("formula", [f"=A{a}+B{b}" for a, b in whole])
    file.add("resolution", picks(rng, n, ["640x480", "1920x1080", "1280x720"]))
    file.add("blood_pressure", [f"{100 + a}/{60 + b}" for a, b in whole])
    return file


def _empty() -> File:
    """Write columns with one value, with none, and with few."""
    file = File("empty", "text: constant and empty")
    rng, n = file.rng, file.n_rows
    file.add("nothing", [""] * n, meaning("text", [None] * n, "ignored"))
    file.add("all_na", ["NA"] * n, meaning("text", [None] * n, "ignored"))
    file.add("constant", ["EUR"] * n, meaning("text", ["EUR"] * n, "ignored"))
    file.add(
        "constant_number", ["7"] * n, meaning("number", [7.0] * n, "ignored"), meaning("text", ["7"] * n, "ignored")
    )
    rare = ["1.5" if place in (17, 203) else "" for place in range(n)]
    file.add(
        "rare_number", rare, meaning("number", [float(cell) if cell else None for cell in rare], "numeric ignored")
    )
    late = [f"{draw:.2f}" if place > n // 2 else "" for place, draw in enumerate(rng.uniform(0, 9, n))]
    file.add("late_number", late, meaning("number", [float(cell) if cell else None for cell in late]))
    late = ["x" if place > n - 4 else str(place % 7) for place in range(n)]
    file.add(
        "late_text", late, meaning("text", late), meaning("number", [None if c == "x" else float(c) for c in late])
    )
    return file


def _few_rows() -> File:
    """Write thirty rows: little evidence, the same meaning."""
    file = File("few_rows", "text: few rows", n_rows=30, delimiter=";")
    rng, n = file.rng, file.n_rows
    values = decimals(rng, n, 10, 900)
    file.add("betrag", [str(value).replace(".", ",") for value in values], numbers(values))
    values = decimals(rng, n, 1, 90, 0)
    file.add("alter", map(str, values), numbers(values))
    file.add("plz", picks(rng, n, ["01067", "80331", "99084"]))
    file.add("ort", picks(rng, n, ["Bonn", "Ulm", "Jena"]))
    return file


def _encoded(encoding: str) -> File:
    """Write names in one encoding, beside a column of numbers and one of ASCII."""
    name, levels = ENCODINGS[encoding]
    file = File(f"encoding_{name}", f"encodings: {encoding}", encoding=encoding, end="\r\n")
    file.add("city", picks(file.rng, file.n_rows, levels))
    file.add("grade", picks(file.rng, file.n_rows, ["good", "poor"]))
    values = decimals(file.rng, file.n_rows, 1, 90)
    file.add("value", map(str, values), numbers(values))
    return file
