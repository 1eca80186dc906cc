"""The committed vectors are what the tool makes, and are complete."""

import json

import pytest
from tool_loader import VECTORS, load_tool

make_vectors = load_tool("make_vectors")


def test_making_the_vectors_again_changes_nothing(tmp_path):
    assert make_vectors.main([str(tmp_path)]) == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {name: (VECTORS / name).read_bytes() for name in made}
    assert made == committed, "the vectors differ: run tools/make_vectors.py and commit the result"


@pytest.mark.parametrize("name", ["token.json", "receipt.json", "settlement.json", "reservation.json"])
def test_every_vector_has_a_name_of_its_own_and_one_expected_result(name):
    document = json.loads((VECTORS / name).read_bytes())
    vectors = document.get("vectors") or document["golden"] + document["hostile"]
    names = [vector["name"] for vector in vectors]
    assert sorted(set(names)) == sorted(names)
    expected = [{"token", "receipt", "settlement", "reservation", "defect"} & vector.keys() for vector in vectors]
    assert {len(results) for results in expected} == {1}


def test_no_hostile_vector_is_a_golden_one_in_the_same_place():
    document = json.loads((VECTORS / "token.json").read_bytes())
    golden = {vector["text"] for vector in document["golden"]}
    here = [vector for vector in document["hostile"] if not {"program", "keyset", "repeat"} & vector.keys()]
    assert not [vector["name"] for vector in here if vector["text"] in golden]
