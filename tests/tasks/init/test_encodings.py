"""The encoding of a text that does not name it, in the ways people's files are written."""

# ruff: noqa: RUF001 - letters of other scripts are what is read here

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from config.schema import CsvSource
from config.settings import Settings
from core.errors import SourceError
from tasks.init.encodings import LATIN, OTHER_SCRIPTS, text_encoding
from tasks.source.files import csv_files, text_sample

TEXTS = [
    ("Straße;Preis\nMünchen;10 €\nKöln – Süd;20 €\n", "cp1252", "Straße"),
    ("Straße;Ort\nMünchen;Köln\nZürich;Größe\n", "latin-1", "Straße"),
    ("ville;région\nOrléans;Île-de-France\nBesançon;Franche-Comté\n", "cp1252", "région"),
    ("a;b\nit’s;1\n“quoted”;2\nplain – text;3\n", "cp1252", "it’s"),
    ("a;b\nZürich;1\n", "latin-1", "Zürich"),
    ("a;b\n5 €;1\nx;2\n", "cp1252", "€"),
    ("miasto;województwo\nŁódź;łódzkie\nKraków;małopolskie\nPoznań;wielkopolskie\n", "cp1250", "województwo"),
    ("cidade;região\nSão Paulo;ç\nBelém;Norte\nMaranhão;á\n", "cp1252", "região"),
    ("staður;hérað\nReykjavík;Höfuðborg\nÞingeyri;Vestfirðir\nHúsavík;Norðurþing\n", "cp1252", "staður"),
    ("name\nMüller\nGarçon\nNúñez\nSørensen\nÅberg\nSão\n", "cp1252", "Müller"),
    ("město;kraj\nČeské Budějovice;Jihočeský\nPlzeň;Plzeňský\n", "iso-8859-2", "město"),
    ("város;megye\nGyőr;Győr\nSzékesfehérvár;Fejér\nHódmezővásárhely;Csongrád\nŰrhida;ő\n", "cp1250", "város"),
    ("şehir;bölge\nİstanbul;Marmara\nDiyarbakır;Güneydoğu\nMuğla;Ege\n", "cp1254", "şehir"),
    (
        "pilsēta;novads\nJūrmala;Rīga\nĶekava;Olaine\nLiepāja;Kurzeme\nSaldus;Brocēni\nGulbene;Stāmeriena\nMadona;Ļaudona\nŠķirotava;ņ\n",
        "cp1257",
        "pilsēta",
    ),
    ("prix;ville\n5 €;Nœux\n7 €;Besançon\n", "iso-8859-15", "€"),
    ("Straße;Ort\nMünchen;Köln\nZürich;Größe\n", "cp850", "Straße"),
    ("Straße;Ort\nMünchen;Köln\nZürich;Größe\n", "mac-roman", "Straße"),
    ("都市;県\n東京;関東です\n大阪;関西です\n", "euc-jp", "都市"),
    ("город;область\nМосква;Московская\nКазань;Татарстан\n", "cp1251", "город"),
    ("πόλη;νομός\nΑθήνα;Αττική\nΘεσσαλονίκη;Μακεδονία\n", "cp1253", "πόλη"),
    ("都市;県\n東京;東京都\n大阪;大阪府\n", "shift_jis", "都市"),
    ("城市;省\n北京;北京市\n广州;广东省\n", "gb18030", "城市"),
]


@pytest.mark.parametrize(("text", "encoding", "word"), TEXTS, ids=[f"{word} {encoding}" for _, encoding, word in TEXTS])
def test_the_text_is_read_as_it_was_written(text: str, encoding: str, word: str, tmp_path: Path) -> None:
    """Whatever the name that is found, decoding gives the text back; latin-1 is part of cp1252."""
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode(encoding))
    found, shown = text_encoding(path)
    assert path.read_bytes().decode(found) == text
    assert shown == word


CERTAIN = {"utf-8-sig": "utf-8", "ascii": "utf-8"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii"])
def test_what_is_certain_has_no_word_to_check(encoding: str, tmp_path: Path) -> None:
    """Marks and zero bytes tell the encoding, and the ingestion reads the text back."""
    path = tmp_path / "rows.csv"
    path.write_bytes("a;b\nZurich;1\n".encode(encoding))
    found, word = text_encoding(path)
    assert (found, word) == (CERTAIN.get(encoding, encoding), None)
    source = CsvSource(kind="csv", uri=str(path), encoding=found)
    (file,) = csv_files(source, Settings(root=tmp_path, var=tmp_path), tmp_path / "work")
    assert text_sample(file).lstrip("\ufeff") == "a;b\nZurich;1\n"


def test_a_wrong_byte_in_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    """In another encoding every other letter would become two; the line is shown, not guessed."""
    path = tmp_path / "rows.csv"
    path.write_bytes("ort\nKöln\nZürich\nÅrhus\nGenève\nDüsseldorf\n".encode() * 9 + b"M\xfcnchen\n")
    with pytest.raises(SourceError, match=r"is UTF-8 apart from 1 byte, such as in 'M\ufffdnchen'"):
        text_encoding(path)


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    """Its text counts, not its bytes, also where the first other letter comes late."""
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a;b\n" + b"x;1\n" * 400_000 + "Köln;2\n".encode("cp1252")))
    assert text_encoding(path) == ("cp1252", "Köln")


def test_every_name_can_stand_in_a_model_file() -> None:
    """What is found is an encoding of the schema, and Python knows it."""
    for name in ("utf-16-le", "utf-16-be", "utf-32", "latin-1", *LATIN, *OTHER_SCRIPTS.values()):
        assert CsvSource(kind="csv", uri="a.csv", encoding=name).encoding == name
        "a".encode(name).decode(name)


def test_text_that_is_utf8_at_its_beginning_only_is_refused(tmp_path: Path) -> None:
    """The bytes that are not UTF-8 may be behind what is read to guess an encoding."""
    path = tmp_path / "rows.csv"
    path.write_bytes("ort;straße\n".encode() + "Köln;Straße\n".encode() * 400_000 + b"M\xfcnchen;x\n")
    with pytest.raises(SourceError, match=r"is UTF-8 in its first lines .* and not in later ones"):
        text_encoding(path)
