"""Labels, people and the plan of swaps; everything that can be wrong with them."""

import json

import pytest

from face_anonymizer.modules.runs.labels import read_labels
from face_anonymizer.modules.training import pairing

PEOPLE = {"ann": ["ann-1", "ann-2", "ann-3"], "bob": ["bob-1", "bob-2"], "cem": ["cem-1", "cem-2"]}
LABELS = {"a/1.jpg": "7", "a/2.jpg": "7", "b.jpg": "bob"}


def crop(name):
    return f"crops/{name}.png"


def write(folder, name, text):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "identity,note,file\n7,x,a/1.jpg\n7,,a\\2.jpg\nbob,,./b.jpg\n"),
        ("labels.csv", "a/1.jpg,7\n\na\\2.jpg,7\nb.jpg,bob\n"),
        ("labels.csv", "a/1.jpg,7,note\na/2.jpg,7\nb.jpg,bob,x\n"),
        ("labels.csv", "Identity, File\n7,a/1.jpg\n7,a/2.jpg\nbob,b.jpg\n"),
        ("labels.csv", "\ufefffile,identity\na/1.jpg,7\na/2.jpg,7\nb.jpg,bob\n"),
        ("labels.json", json.dumps({"a/1.jpg": 7, "a/2.jpg": "7", "b.jpg": "bob"})),
        ("labels.jsonl", "".join(json.dumps({"file": f, "identity": i}) + "\n\n" for f, i in LABELS.items())),
    ],
)
def test_forms_of_labels(tmp_path, name, text):
    assert read_labels(write(tmp_path, name, text)) == LABELS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "", r"labels.txt is no list of labels: it is .csv, .json, .jsonl"),
        ("labels.csv", "", r"labels.csv has the columns None; file and identity are needed"),
        ("labels.csv", "name,identity\n1.jpg,x\n", r"columns \['name', 'identity'\]; file and identity"),
        ("labels.csv", "path,person\n1.jpg,x\n", r"columns \['path', 'person'\]; file and identity"),
        ("labels.csv", "file,identity\n1.jpg,x\n2.jpg\n", "labels.csv line 3 has no file or no identity"),
        ("labels.csv", "file,identity\n", "labels.csv labels no photo"),
        ("labels.csv", "file,identity\n1.jpg,x\n1.jpg,y\n", "line 3 gives 1.jpg a second identity, y"),
        ("labels.json", "[1]", "labels.json holds a list, not an object"),
        ("labels.json", "{", "labels.json is no readable .json file"),
        ("labels.json", '{"1.jpg": {"id": 3}}', "entry '1.jpg', has no file or no identity"),
        ("labels.jsonl", '{"file": "1.jpg", "identity": "x"}\n{"fi', "labels.jsonl line 2 is no JSON"),
        ("labels.jsonl", '{"file": "1.jpg"}\n', "labels.jsonl line 1 has no file or no identity"),
    ],
)
def test_wrong_labels_name_file_and_line(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_labels(write(tmp_path, name, text))


def test_missing_and_binary_labels(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.csv are missing. Name another file"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "labels.csv").write_bytes(b"file,identity\n\xff\xfe,x\n")
    with pytest.raises(ValueError, match=r"labels.csv is no readable .csv file"):
        read_labels(tmp_path / "labels.csv")


def test_folders_are_labels():
    labels = pairing.folder_labels(["bob/2.jpg", "ann/x/1.jpg", "loose.jpg", "bob/1.jpg"])
    assert pairing.group(labels) == {"ann": ["ann/x/1.jpg"], "bob": ["bob/1.jpg", "bob/2.jpg"]}


def test_names_of_crops():
    assert pairing.photo_names(["b/x/1.jpg", "a.b.png"]) == {"b-x-1": "b/x/1.jpg", "a.b": "a.b.png"}
    for same in (["a/1.jpg", "a/1.png"], ["a/1.jpg", "a-1.jpg"], ["A.jpg", "a.jpg"]):
        with pytest.raises(ValueError, match="would have one name"):
            pairing.photo_names(same)


def test_people_with_too_few_photos_are_left_out():
    people = {**PEOPLE, "dan": ["dan-1"]}
    kept, left_out = pairing.select_people(people, 2, 3)
    assert kept == PEOPLE
    assert left_out == {"dan-1": "dan has 1 usable photos, and 2 are needed"}
    assert list(pairing.select_people({**people, "eve": ["eve-1", "eve-2", "eve-3"]}, 3, 2)[0]) == ["ann", "eve"]


def test_fewer_identities_than_asked():
    people = {**PEOPLE, "dan": ["dan-1"]}
    expected = r"There are 3 people with 2 .* and 4 are needed. 1 more have too few: dan \(1\).* --identities to 3"
    with pytest.raises(ValueError, match=expected):
        pairing.select_people(people, 2, 4)
    with pytest.raises(ValueError, match=r"There are 1 people with 3 .* 3 more .* Add photos or people\.$"):
        pairing.select_people(people, 3, 2)
    with pytest.raises(ValueError, match=r"There are 0 people .* Sort the photos into a folder"):
        pairing.select_people({}, 2, 2)
    for few in ((1, 2), (2, 1)):
        with pytest.raises(ValueError, match="2 photos at least"):
            pairing.select_people(people, *few)


@pytest.mark.parametrize("per_photo", [1, 2])
def test_plan(per_photo):
    pairs = pairing.plan_pairs(PEOPLE, per_photo, 3)
    assert pairs == pairing.plan_pairs(PEOPLE, per_photo, 3)
    assert pairs != pairing.plan_pairs(PEOPLE, per_photo, 4)
    assert len({pair.swap for pair in pairs}) == len(pairs) == 7 * per_photo
    for pair in pairs:
        own, other = PEOPLE[pair.photo_identity], PEOPLE[pair.face_identity]
        assert own is not other
        assert {pair.photo, pair.photo_source} <= set(own) and pair.photo != pair.photo_source
        assert {pair.face, pair.face_source} <= set(other) and pair.face != pair.face_source
    for photo in (photo for photos in PEOPLE.values() for photo in photos):
        assert len({pair.face_identity for pair in pairs if pair.photo == photo}) == per_photo


def test_triples_of_a_pair():
    pair = pairing.Pair("ann-1", "bob-1", "ann-2", "bob-2", "ann", "bob")
    driving, truth = pair.triples(crop, f"swaps/{pair.swap}.png")
    assert driving == {
        "source": "crops/ann-2.png",
        "driving": "swaps/ann-1__bob-1.png",
        "truth": "crops/ann-1.png",
        "kind": pairing.SYNTHESIZED_DRIVING,
        "source_identity": "ann",
        "driving_identity": "bob",
    }
    assert truth == {
        "source": "crops/bob-2.png",
        "driving": "crops/ann-1.png",
        "truth": "swaps/ann-1__bob-1.png",
        "kind": pairing.SYNTHESIZED_TRUTH,
        "source_identity": "bob",
        "driving_identity": "ann",
    }


def test_plans_that_cannot_be():
    for per_photo in (0, 3):
        with pytest.raises(ValueError, match=f"--per-photo {per_photo} .* of which there are 2: take 1 to 2"):
            pairing.plan_pairs(PEOPLE, per_photo, 0)
    ambiguous = {"x": ["a", "a__b"], "y": ["b__c", "c"]}  # a with b__c, and a__b with c
    with pytest.raises(ValueError, match="would have one name, a__b__c"):
        for seed in range(20):
            pairing.plan_pairs(ambiguous, 1, seed)
