"""The proof of a run: states of faces, the page and the table; what they say, and what they never hold."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest

from face_anonymizer.modules.faces.notes import NOT_COMPARED, Doubt
from face_anonymizer.modules.faces.outcomes import Entry
from face_anonymizer.modules.proof.headline import headline
from face_anonymizer.modules.proof.page import is_page, to_html
from face_anonymizer.modules.proof.persons import sum_up_persons
from face_anonymizer.modules.proof.proof import MadeWith, Proof, ResultFile
from face_anonymizer.modules.proof.rows import rows_elsewhere, rows_of_faces, rows_of_persons
from face_anonymizer.modules.proof.table import is_table, to_csv
from face_anonymizer.modules.recognition.reading import Difference
from face_anonymizer.modules.recognition.recognisers import on_drawn_faces
from face_anonymizer.modules.recognition.verdict import Verification, opinions

HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; \x1b[2J\u202e=1+1"
DRIFT = {"pose": 3.1, "gaze": 5.2, "expression": 0.12, "age": -4.0, "man": 0.05}


SAYS = "it was covered, says the report, but the detector's score is 0.81, below 0.5 was expected"


def verification(distance: float | None, cosine: float | None = 0.3, verdict: str = "") -> dict:
    """As modules/recognition/verdict.py gives it."""
    if distance is None:
        reason = (
            "cannot be measured any more: " if verdict == "failed" else ""
        ) + "too small: 22 pixels, 40 are needed"
        return {"verdict": verdict, "reason": reason, "recognisers": [], "drift": None}
    said = [
        ("dlib ResNet", distance, 0.5, "distance", distance < 0.5),
        ("FaceRes", cosine, 0.6, "cosine", cosine > 0.6),
    ]
    names = ("name", "value", "threshold", "measure", "same")
    recognisers = [dict(zip(names, one, strict=True)) for one in said]
    verdict = verdict or ("same person" if any(one["same"] for one in recognisers) else "stranger")
    return {"verdict": verdict, "reason": "figures", "recognisers": recognisers, "drift": DRIFT}


UNSEEN = verification(None, verdict="not measurable")


def face(**more) -> dict:
    """An entry of a report, as modules/faces/outcomes.py gives it."""
    return {
        **{"image": 0, "box": [10.0, 20.0, 110.0, 150.0], "size": 114.0, "score": 0.93, "source": "centerface"},
        **{
            "track": None,
            "action": "anonymized",
            "seed": 7,
            "reason": "",
            "number": 1,
            "verdict": "",
            "covered": 0.996,
        },
        **{"verification": verification(0.83), "attempts": 1, "degree": 1.25},
        **more,
    }


def made(**more) -> MadeWith:
    known = {"dates": ("2026-03-01", "2026-03-02"), "version": "0.1.0", "model": ("demo",), "model_sha256": ("c" * 64,)}
    return MadeWith(**(known | {"settings": [("", {"degree": 1.25, "thorough": True})]} | more))


def proof(*files: list[dict], doubts: tuple[Doubt, ...] = (), **more) -> Proof:
    results = [
        ResultFile(
            *(i, "photo"),
            digests=(f"{i:064x}",),
            images=1,
            width=640,
            height=480,
            rows=tuple(rows_of_faces(faces)),
            doubts=doubts,
        )
        for i, faces in enumerate(files, 1)
    ]
    return Proof(tuple(results), made(**more))


def cells(page: bytes) -> list[list[str]]:
    """The rows of the faces' table, as their texts."""
    table = page.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [row.split("<td") for row in table.split("<tr>")[1:]]
    return [[re.sub("<[^>]*>", " ", cell.partition(">")[2]).strip() for cell in row[1:]] for row in rows]


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ({}, "stranger"),
        ({"verification": verification(0.5, 0.6)}, "stranger"),
        ({"verification": verification(0.4)}, "same person"),
        ({"verification": verification(0.9, 0.61)}, "same person"),
        ({"verification": verification(None, verdict="not measurable")}, "not measurable"),
        ({"verification": verification(None, verdict="failed")}, "failed"),
        ({"verification": None}, "not verified"),
        ({"action": "swapped"}, "stranger"),
        ({"action": "redacted", "verification": verification(0.3)}, "covered"),
        ({"action": "redacted", "verification": None}, "covered"),
        ({"action": "kept", "verification": None}, "left as it is"),
        ({"action": "found", "verification": None}, "left as it is"),
        ({"action": "broken", "verification": None}, "left as it is"),
        ({"action": "kept by the user", "verification": None}, "kept by the user"),
        ({"action": "kept by the user", "verification": verification(0.1)}, "same person"),
        # refused for what the look saw, not for whom the recognisers took it
        ({"action": "kept by the user"}, "kept by the user"),
        ({"action": "kept by the user", "verdict": "unchanged"}, "shown as it was, kept by the user"),
        *[
            ({"action": "kept by the user", "verdict": word, "verification": None}, "shown as it was, kept by the user")
            for word in ("unchanged", "still the original", "too small", "not finite", "broken")
        ],
        (
            {"action": "kept by the user", "verdict": "kept", "verification": None, "covered": 0.5},
            "shown as it was, kept by the user",
        ),
        (
            {"action": "kept by the user", "verdict": "kept", "verification": None, "covered": 0.8},
            "kept by the user",
        ),
        ({"action": "redacted", "cover": "solid", "verification": None}, "covered"),
        ({"action": "redacted", "cover": "mosaic", "verification": None}, "covered coarsely"),
        (
            {"action": "redacted", "cover": "blur", "verification": None, "verdict": "a face is found on it"},
            "covered, but a face is seen",
        ),
        (
            {"action": "redacted", "cover": "mosaic", "verification": verification(0.8) | {"of": "result"}},
            "covered, but a face is seen",
        ),
        (
            {"action": "redacted", "verification": verification(None, verdict="failed") | {"of": "result"}},
            "covered",
        ),
        (
            {
                "action": "redacted",
                "verification": verification(None, verdict="failed") | {"of": "result", "reason": SAYS},
            },
            "covered, but a face is seen",
        ),
        (
            {"verification": {**verification(0.9), "recognisers": verification(0.9)["recognisers"][:1]}},
            "stranger to one recogniser",
        ),
        # what an enemy or a mistake writes into a report
        ({"verification": verification(0.1, verdict="stranger")}, "same person"),
        ({"verification": {**verification(0.1, verdict="stranger"), "recognisers": []}}, "same person"),
        ({"verification": verification(0.9, verdict="perfectly safe")}, "failed"),
        (
            {"verification": {"verdict": "stranger", "recognisers": [{"name": "x", "value": float("nan")}]}},
            "not verified",
        ),
        ({"verification": "stranger"}, "not verified"),
        ({"action": "perfectly safe"}, "left as it is"),
    ],
)
def test_the_state_of_a_face(entry, state):
    (row,) = rows_of_faces([face(**entry)])
    assert row.state.name == state


def test_a_cover_that_shows_who_it_is_is_no_cover():
    """The figures of a covered face are those of the painting that was refused, but where the cover was looked at."""
    same = verification(0.34, 0.73, "same person")
    states = [
        rows_of_faces([face(action="redacted", verification=one)])[0].state for one in (same, same | {"of": "result"})
    ]
    assert [state.judgement for state in states] == ["good", "bad"] and states[1].name == "same person"


def test_a_mosaic_that_recognisers_read_through_is_told_of_a_person_too():
    """One frame of a clip shows who it is, on others a face is found: neither is a good cover, whatever the rest is."""
    covered = {"action": "redacted", "cover": "mosaic", "track": 0, "verification": None}
    frames = [face(image=i, **covered) for i in range(4)]
    assert rows_of_persons(sum_up_persons(frames))[0].state.name == "covered coarsely"
    frames[1] |= {"verdict": "a face is found on it", "reason": "a face is found on it: 0.87"}
    (row,) = rows_of_persons(sum_up_persons(frames))
    assert (row.state.name, row.state.judgement) == ("covered, but a face is seen", "look")
    frames[2] |= {"verification": verification(0.38) | {"of": "result"}}
    (row,) = rows_of_persons(sum_up_persons(frames))
    assert (row.state.name, row.counts, row.verified.verdict) == ("same person", {"same person": 1}, "same person")
    assert "covered, good" not in to_html(Proof((ResultFile(1, "clip", rows=(row,)),), made())).decode()


def test_a_cover_on_which_a_face_is_found_is_amber_with_the_reason():
    seen = {"cover": "mosaic", "verdict": "a face is found on it", "reason": "a face is found on it: 0.87 was measured"}
    page = to_html(proof([face(action="redacted", verification=None, **seen)])).decode()
    assert 'class="headline look"' in page and "1 covered, but a face is seen" in page
    assert "0.87 was measured" in page and "othing of it is left" not in page and "is covered." not in page
    coarse = to_html(proof([face(action="redacted", verification=None, cover="blur")])).decode()
    assert 'class="headline good"' in coarse and "a few samples are left" in coarse and "leaves nothing" not in coarse


def test_a_face_that_the_user_kept_stays_told_in_a_clip_of_strangers():
    frames = [face(image=i, track=0) for i in range(6)]
    frames[2] |= {"action": "kept by the user", "verdict": "not passed"}
    (row,) = rows_of_persons(sum_up_persons(frames))
    assert row.state.name == "kept by the user" and row.action == "anonymized: 5 frames, kept by the user: 1 frame"
    frames[2] |= {"verdict": "unchanged", "verification": None}
    (row,) = rows_of_persons(sum_up_persons(frames))
    assert (row.state.name, row.state.judgement) == ("shown as it was, kept by the user", "bad")
    # what earlier versions wrote into journals
    old = {k: v for k, v in sum_up_persons(frames)[0].items() if k != "states"}
    assert rows_of_persons([old])[0].state.judgement == "bad"
    old = {**old, "actions": {"redacted": 6}, "verdicts": {"a face is found on it": 2}, "verifications": {}}
    assert rows_of_persons([old | {"verification": None}])[0].state.name == "covered, but a face is seen"


def test_a_covered_stranger_was_not_refused():
    """Its painting had passed, and a later step covered it: the verdict is of nothing that was refused or shows."""
    page = to_html(proof([face(action="redacted", verification=verification(0.83))])).decode()
    assert "was refused" not in page and "0.830" not in page


def test_failures_come_first_and_counts_add_up():
    strangers = [face(number=i) for i in range(1, 4)]
    shown = proof(
        strangers,
        [face(number=2, verification=verification(0.41)), face(number=3, action="kept", verification=None)],
        [
            face(verification=verification(None, verdict="failed")),
            face(action="redacted", verification=verification(0.3)),
        ],
    )
    verdicts = [row[1] for row in cells(to_html(shown))]
    assert [re.sub(r"^\W+", "", verdict).split("  ")[0].strip() for verdict in verdicts] == [
        *("same person", "failed", "left as it is", "covered"),
        *["stranger"] * 3,
    ]
    assert {state.name: count for state, count in shown.counts.items()} == {
        **{"same person": 1, "failed": 1, "left as it is": 1, "covered": 1, "stranger": 3},
    }
    page = to_html(shown).decode()
    assert "3 of 7 faces need a look before anything is published" in page and "the painted face was refused" in page


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{}, {}], "All 2 faces are taken for a stranger by every recogniser."),
        ([{}], "The face is taken for a stranger by every recogniser."),
        ([{}, {"action": "redacted"}], "All 2 faces are taken for a stranger by every recogniser or covered."),
        ([{"action": "redacted", "verification": None}] * 2, "All 2 faces are covered."),
        ([{}, {"verification": None}], "of 1 of 2 faces nobody knows (1 not verified)."),
        ([{}, *[{"verification": UNSEEN}] * 3], "of 3 of 4 faces nobody knows (3 not measurable)."),
        ([], "No face was found, so nothing was changed."),
    ],
)
def test_the_headline_says_no_more_than_is_known(entries, said):
    page = to_html(proof([face(**entry) for entry in entries])).decode()
    assert said in page
    measured = any(entry.get("verification", 1) and entry.get("action") != "redacted" for entry in entries)
    assert ("No recogniser has compared any face" in page) is not measured


@pytest.mark.parametrize(
    ("more", "said"), [({}, "but the verdicts mean little"), ({"verification": None}, "nobody knows")]
)
def test_verdicts_on_drawn_faces_are_amber(more, said):
    """Both recognisers take them for strangers, and were trained on photographs."""
    box, entry = (10.0, 20.0, 110.0, 150.0), face(**more)
    words = on_drawn_faces("demo", [Entry(0, box, 0.9, "t", None, "anonymized", verification=verification(0.83))])
    assert words.faces == ((0, box),) and words.images == (0,)
    shown = proof([entry], [entry], doubts=(words,))
    assert [file.judgement for file in shown.files] == ["look"] * 2 and shown.judgement == "look"
    page = to_html(shown).decode()
    assert (
        'class="headline look"' in page and said in headline(shown)[0] and page.count("verdicts mean little here") == 2
    )
    assert "verdicts mean little here" in to_csv(shown).decode()
    one_of_two = replace(shown, files=(shown.files[0], replace(shown.files[1], doubts=())))
    assert more or "but in 1 of 2 files the verdicts mean little" in headline(one_of_two)[0]
    bad = proof([face(verification=verification(0.1))], [entry], doubts=(words,))
    assert headline(bad)[0].startswith("1 of 2 faces needs a look") and bad.judgement == "bad"
    other = proof([face()], doubts=(words, Doubt("something else", NOT_COMPARED)))
    assert headline(other)[0] == "No face is known to have failed, but 1 file needs a look as a whole."
    covered = Entry(0, box, 0.9, "t", None, "redacted", verification=verification(0.83))
    assert type(on_drawn_faces("demo", [covered])) is str, "what was covered shows no drawn face"


def test_a_row_says_all_that_is_known_of_a_face():
    entry = face(attempts=3, degree=1.4, seed=2**64 - 1, reason="painted again", number=5)
    (row,) = cells(to_html(proof([entry])))
    assert row[0].startswith("face 5") and "114 px" in row[0]
    assert "0.830" in row[2] and "stranger ≥ 0.5" in row[2] and "0.300" in row[3] and "stranger ≤ 0.6" in row[3]
    assert "anonymized" in row[4] and "painted again" in row[4] and "99.6 % of it replaced" in row[4]
    assert row[5:8] == ["3", "1.4", "18446744073709551615"]
    assert row[8].replace("&nbsp;", " ") == "head 3°, gaze 5°, expression 12 %, age −4 years, gender 5 %"


def test_the_page_says_what_results_were_made_with():
    page = to_html(proof([face()], remarks=("The model is a demonstration.",))).decode()
    for told in ("2026-03-01 to 2026-03-02", "version 0.1.0", "c" * 64, f"{1:064x}", "The model is a demonstration."):
        assert told in page
    for told in (
        "public domain (the package: CC0 1.0)",
        "Apache License 2.0",
        "VGGFace2",
        "author&#x27;s threshold<dd>0.6",
    ):
        assert told in page
    for told in ("An attacker who knows the method", "clothes", "voice", "twins and children", "not signed"):
        assert told in page
    unknown = to_html(proof([face()], dates=None, model=None, settings=[])).decode()
    assert unknown.count("ot known to this report") == 3
    assert "none: nothing was painted" in to_html(proof([face(action="redacted")], model=())).decode()


def test_the_page_loads_nothing_and_is_small():
    page = to_html(proof(*[[face(number=i) for i in range(1, 11)] for _ in range(10)]))
    assert len(cells(page)) == 100 and len(page) < 100_000
    text = page.decode()
    assert not re.search(
        r"https?://|<script|<img|<iframe|<object|<embed|@import|url\(| on\w+=|\ssrc=|javascript:", text
    )
    assert re.findall(r'href="([^"]*)"', text) == ["data:,"]
    assert is_page(page) and not is_page(b"<!doctype html>\n<html>") and not is_page(b"")


def test_texts_from_outside_stay_texts():
    entry = face(reason=HOSTILE, action="anonymized", verification={**verification(0.9), "reason": HOSTILE})
    entry["verification"]["recognisers"][0]["name"] = HOSTILE
    small = face(verification={**verification(None, verdict="not measurable"), "reason": HOSTILE})
    rows = (*rows_of_faces([entry, small, face(action=HOSTILE)], place=HOSTILE), *rows_elsewhere(1))
    shown = Proof(
        (
            ResultFile(1, HOSTILE, rows=rows, notes=(HOSTILE,), incomplete=HOSTILE, digests=(HOSTILE,)),
            ResultFile(2, outcome="failed", error=HOSTILE),
            ResultFile(3, outcome=HOSTILE),
        ),
        made(
            **{"version": HOSTILE, "model": (HOSTILE,), "model_sha256": (HOSTILE,), "dates": (HOSTILE, HOSTILE)},
            **{"settings": [(HOSTILE, {HOSTILE: HOSTILE})], "remarks": (HOSTILE,)},
        ),
    )
    page = to_html(shown).decode()
    assert page.count("&lt;script&gt;") > 14 and "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&amp;amp;" in page and "\"' onload" not in page
    table = list(csv.reader(io.StringIO(to_csv(shown).decode())))
    assert {len(row) for row in table} == {len(table[0])}
    assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "@")) or "\x1b" in cell]


def test_a_formula_is_a_text_in_a_spreadsheet():
    (row,) = csv.DictReader(io.StringIO(to_csv(proof([face(reason="=HYPERLINK(1)")])).decode()))
    assert row["reason"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("mark", "=+-@＝＋－＠")
@pytest.mark.parametrize("before", ["", "x;", "x,", "x|", "x ; ", " ", 'x;"', "x,'"])
def test_no_spreadsheet_finds_a_formula_whatever_it_takes_for_a_separator(mark, before):
    text = f'{before}{mark}HYPERLINK("http://e";"c")'
    data = to_csv(proof([face(reason=text, action=text, verification=verification(0.8) | {"reason": text})])).decode()
    for separator in ",;|":
        for row in csv.reader(io.StringIO(data), delimiter=separator):
            assert not [cell for cell in row if cell.strip(' "').startswith((*"=+@＝＋－＠",)) or "-HYPER" in cell[:3]]
    (row,) = csv.DictReader(io.StringIO(data))
    assert row["reason"].replace("'", "") == text.replace("'", "") and f'"{row["verdict"]}"' in data


def test_a_folder_with_an_unreadable_file_is_red_and_says_so():
    done = ResultFile(1, "photo", rows=tuple(rows_of_faces([face(), face(action="redacted", verification=None)])))
    for file in (ResultFile(2, outcome="failed", error="x"), ResultFile(2, outcome="pending")):
        page = to_html(Proof((done, file), made())).decode()
        assert '"headline bad"' in page and "1 file needs a look as a whole before anything is published" in page
        assert "All 2 faces" not in page and "taken for a stranger by" not in page.partition('class="states"')[0]
    unsure = ResultFile(3, "photo", rows=tuple(rows_of_faces([face(verification=None)])))
    page = to_html(Proof((done, unsure, ResultFile(2, outcome="failed", error="x")), made())).decode()
    assert "Of 1 of 3 faces nobody knows (1 not verified)." in page
    empty = to_html(Proof((done, ResultFile(2, "photo")), made())).decode()
    assert '"headline look"' in empty and "No face is known to have failed, but 1 file needs a look" in empty


def test_the_table_has_what_the_page_has():
    shown = proof([face(), face(number=2, verification=verification(0.41), attempts=4)], [])
    data = to_csv(shown)
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["verdict"] for row in rows] == ["same person", "stranger", ""]
    assert rows[0] | {"face": "face 2", "attempts": "4", "degree": "1.25", "seed": "7", "covered": "0.996"} == rows[0]
    assert (rows[0]["dlib ResNet value"], rows[0]["dlib ResNet threshold"]) == ("0.41", "0.5")
    assert (rows[0]["pose_changed"], rows[0]["age_changed"], rows[0]["result_sha256"]) == ("3.1", "-4.0", f"{1:064x}")
    assert rows[2]["file"] == "2" and "no face was found" in rows[2]["reason"]
    assert is_table(data) and not is_table(b"file,outcome\n")


def test_a_descriptor_in_a_report_goes_no_further():
    descriptor = [0.123456789, -0.0987654321]
    said = verification(0.83) | {"descriptor": descriptor, "drift": DRIFT | {"embedding": descriptor}}
    said["recognisers"][0]["values"] = descriptor
    shown = proof([face(verification=said, descriptor=descriptor)])
    told = to_html(shown) + to_csv(shown)
    assert b"12345" not in told and b"98765" not in told


def test_a_person_of_a_clip_is_told_by_the_worst_of_the_frames():
    frames = [face(image=i, track=0, size=50.0 + i, verification=verification(0.9 - i / 100)) for i in range(10)]
    frames[3] |= {"verification": verification(0.52, 0.59), "attempts": 2}
    frames[4] |= {"action": "redacted", "verification": verification(0.2), "reason": "same person: 0.2"}
    frames[5] |= {"verification": verification(None, verdict="not measurable")}
    (person,) = sum_up_persons(frames)
    assert person["verifications"] == {"stranger": 8, "not measurable": 1} and person["attempts"] == 2
    assert person["verification"]["verdict"] == "not measurable"
    (row,) = rows_of_persons([person])
    assert (row.state.name, row.place, row.face) == ("not measurable", "frames 1 to 10", "person 1")
    assert row.action == "anonymized: 9 frames, redacted: 1 frame"
    nearest = sum_up_persons(frames[:4])[0]["verification"]["recognisers"][0]["value"]
    assert nearest == 0.52
    (row,) = rows_of_persons(sum_up_persons([*frames[:3], face(image=3, track=0, verification=None)]))
    assert row.state.name == "not verified", "a frame without a verdict counts"
    (row,) = rows_of_persons(sum_up_persons([*frames[:3], face(image=3, track=0, verification=verification(0.3))]))
    assert row.state.name == "same person"
    page = to_html(Proof((ResultFile(1, "video", rows=tuple(rows_of_persons([person]))),), made()))
    assert "stranger: 8 frames, not measurable: 1 frame" in cells(page)[0][1]


def test_a_figure_next_to_its_threshold_is_not_shown_as_that_and_one_that_is_none_stays_refused():
    near = verification(0.4996, 0.60004)
    page = to_html(Proof((ResultFile(1, rows=tuple(rows_of_faces([face(verification=near)]))),), made())).decode()
    assert "0.4996" in page and "0.60004" in page and "0.500<" not in page and "0.600<" not in page
    same = opinions(Difference(math.nan, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0))
    said = Verification("same person", "dlib's distance is nan", None, same).to_dict()
    json.dumps(said, allow_nan=False)
    (row,) = rows_of_faces([face(verification=said)])
    assert row.state.name == "same person"
    (row,) = rows_of_faces([face(verification=said | {"verdict": "stranger"})])
    assert row.state.name == "not verified"
