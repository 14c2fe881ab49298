"""A model file served without a project: its contract, its answers, and the files that are refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from funade import digest
from funade.bind.api import BoundApi
from funade.contract.field import Field
from funade.errors import ServeError
from funade.serve.bare import file as bare_file
from funade.serve.bare import serve as bare
from funade.store.codecs.onnx.codec import session_of
from funade.store.codecs.onnx.convert import convert
from support.command import ask, serving

DRAWN = np.random.default_rng(11).normal(size=(1000, 3))
NUMBERS = DRAWN[:, 0] * 3 + DRAWN[:, 1] ** 2


def trees(names: Sequence[str] | str = "auto", **settings: Any) -> lgb.Booster:
    y = np.digitize(NUMBERS, [0, 2]) if "num_class" in settings else NUMBERS
    data = lgb.Dataset(DRAWN, y, feature_name=names)  # type: ignore[arg-type]
    return lgb.train({"objective": "regression", "verbose": -1, **settings}, data, 20)


def text(folder: Path, booster: lgb.Booster) -> Path:
    booster.save_model(folder / "eta-2.txt")
    return folder / "eta-2.txt"


def graph(
    folder: Path, inputs: Sequence[tuple[str, int, Any]], outputs: Sequence[tuple[str, int, str]], **metadata: str
) -> Path:
    """A graph that gives each output by one operator over an input: ``(name, element type, "Operator input")``."""
    nodes = []
    for name, _, made in outputs:
        operator, _, taken = made.partition(" ")
        nodes.append(helper.make_node(operator, [taken], [name]))
    whole = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind, _ in outputs],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def api_of(path: Path) -> BoundApi:
    (api,) = bare.load({"file": str(path), "digest": digest.of_file(path)}).apis.values()
    return api


def answers(api: BoundApi, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken, refused = api.requests.convert(rows)
    assert not refused
    return api.answers.rows(api.call(api.take(taken).columns, len(taken)))


def shown(field: Field) -> str:
    return field.type + (" | None" if field.nullable else "")


# What is answered


def test_drill_w3_a_file_answers_a_row_with_the_same_bits_whatever_comes_with_it(tmp_path: Path) -> None:
    """One row, two, and a thousand, over HTTP, as onnxruntime answers them by itself."""
    path = tmp_path / "eta.onnx"
    path.write_bytes(convert(trees(["km", "wait", "x y"]))[0])
    session = session_of(str(path))
    expected = session.run(None, {"rows": DRAWN.astype(np.float32)})[0][:, 0].astype(float).tolist()
    rows = [dict(zip(("km", "wait", "x_y"), row, strict=True)) for row in DRAWN.tolist()]
    with serving(["serve", str(path), "--workers", "1"], tmp_path / "log") as port:
        for size in (1, 2, 999, 1000):
            for start in range(0, min(1000, 40 * size), size):
                asked = rows[start : start + size]
                status, got = ask(port, "POST", "/v1/eta", asked)
                assert status == 200
                assert [answer["variable"] for answer in got] == expected[start : start + size]
        assert ask(port, "POST", "/v1/eta", rows[7]) == (200, {"variable": expected[7]})
        assert ask(port, "POST", "/v1/eta", [])[1] == []
        assert ask(port, "POST", "/v1/eta", {"km": 1.0, "wait": "long"}) == (
            422,
            {"error": "request expected `float`, got `str`", "path": "$.wait"},
        )
        contract = ask(port, "GET", "/v1/eta")[1]["contract"]
        assert [field["name"] for field in contract["takes_fields"]] == ["km", "wait", "x_y"]
        assert "/v1/eta" in ask(port, "GET", "/openapi.json")[1]["paths"]


def test_a_lightgbm_text_answers_as_lightgbm_does(tmp_path: Path) -> None:
    booster = trees(["km", "petal length (cm)", "class"])
    api = api_of(text(tmp_path, booster))
    assert api.name == "eta_2"
    assert (api.contract.takes, api.contract.gives) == ("Row", "Answer")
    assert api.contract.doc == "One row for `eta-2.txt`."
    assert [(f.name, shown(f), f.doc) for f in api.contract.takes_fields] == [
        ("km", "float | None", ""),
        ("petal_length__cm", "float | None", "`petal_length_(cm)` of the file"),
        ("class_", "float | None", "`class` of the file"),
    ]
    assert [(f.name, shown(f)) for f in api.contract.gives_fields] == [("prediction", "float")]
    rows: list[dict[str, Any]] = [
        {"km": 1.0, "petal_length__cm": None, "class_": 0.5},
        {"km": -0.25, "petal_length__cm": 3.0, "class_": 1e300},
    ]
    expected = np.asarray(booster.predict(np.array([[1.0, np.nan, 0.5], [-0.25, 3.0, 1e300]])))
    assert [row["prediction"] for row in answers(api, rows)] == expected.tolist()


def test_a_lightgbm_text_of_several_classes_gives_one_field_each(tmp_path: Path) -> None:
    booster = trees(objective="multiclass", num_class=3)
    api = api_of(text(tmp_path, booster))
    (got,) = answers(api, [{"f0": 1.0, "f1": 0.0, "f2": 0.0}])
    expected = np.asarray(booster.predict(np.array([[1.0, 0.0, 0.0]])))[0]
    assert got == {f"prediction_{index}": value for index, value in enumerate(expected.tolist())}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_classifier_gives_its_label_and_each_probability(tmp_path: Path, zipped: bool) -> None:
    from skl2onnx import to_onnx

    labels = np.where(NUMBERS > 1, "late", "on time")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DRAWN, labels)
    path = tmp_path / "late.onnx"
    path.write_bytes(
        to_onnx(model, DRAWN[:1].astype(np.float32), options={"zipmap": zipped}, target_opset=17).SerializeToString()
    )
    api = api_of(path)
    got = answers(api, [dict(zip(("f0", "f1", "f2"), row, strict=True)) for row in DRAWN[:9].tolist()])
    label, late = ("output_label", "output_probability_late") if zipped else ("label", "probabilities_0")
    assert [row[label] for row in got] == model.predict(DRAWN[:9]).tolist()
    assert [row[late] for row in got] == pytest.approx(model.predict_proba(DRAWN[:9])[:, 0].tolist(), abs=1e-5)


def test_inputs_are_fields_by_name_and_type(tmp_path: Path) -> None:
    inputs = [
        ("km", TensorProto.FLOAT, ["n", 1]), ("seats", TensorProto.INT8, ["n"]), ("city", TensorProto.STRING, ["n", 1]),
        ("wet", TensorProto.BOOL, ["n", 1]), ("at", TensorProto.DOUBLE, ["n", 2]), ("id", TensorProto.INT64, ["n"]),
    ]  # fmt: skip
    outputs = [(f"out_{name}", kind, f"Identity {name}") for name, kind, _ in inputs]
    path = graph(tmp_path, inputs, outputs)
    assert [(f.name, f.type, f.ge, f.le) for f in api_of(path).contract.takes_fields] == [
        ("km", "float", None, None), ("seats", "int", -128, 127), ("city", "str", None, None),
        ("wet", "bool", None, None), ("at_0", "float", None, None), ("at_1", "float", None, None),
        ("id", "int", None, None),
    ]  # fmt: skip
    rows = [
        {"km": 0.5, "seats": -3, "city": "東京", "wet": True, "at_0": 1e300, "at_1": 2.0, "id": 2**62 + 1},
        {"km": 1.5, "seats": 4, "city": "", "wet": False, "at_0": 0.1, "at_1": -2.0, "id": -1},
    ]
    assert answers(api_of(path), rows) == [{f"out_{name}": value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({}, ["f0", "f1"]),
        ({"feature_names": '["km", "wait"]'}, ["km", "wait"]),
        ({"feature_names": "km, wait"}, ["km", "wait"]),
        ({"feature_names": '["km"]'}, ["f0", "f1"]),
        ({"feature_names": '["km", "km"]'}, ["km", "km_1"]),
    ],
)
def test_a_matrix_is_named_by_the_files_metadata(tmp_path: Path, metadata: dict[str, str], names: list[str]) -> None:
    path = graph(tmp_path, [("x", TensorProto.FLOAT, [None, 2])], [("y", TensorProto.FLOAT, "Abs x")], **metadata)
    assert [field.name for field in api_of(path).contract.takes_fields] == names


def test_drill_w3_a_graph_of_three_rows_answers_any_number(tmp_path: Path) -> None:
    path = graph(tmp_path, [("x", TensorProto.FLOAT, [3, 1])], [("y", TensorProto.FLOAT, "Abs x")])
    api = api_of(path)
    for count in range(8):
        assert [row["y"] for row in answers(api, [{"f0": -float(i)} for i in range(count)])] == list(range(count))


# What is refused


def broken(folder: Path) -> Path:
    path = text(folder, trees())
    path.write_text(path.read_text()[:400])
    return path


def categories(folder: Path) -> Path:
    import pandas as pd

    frame = pd.DataFrame({"km": DRAWN[:, 0], "zone": pd.Series(["a", "b"] * 500, dtype="category")})
    return text(folder, lgb.train({"verbose": -1}, lgb.Dataset(frame, NUMBERS), 3))


def file(name: str, data: bytes) -> Any:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def shaped(shape: Any, kind: int = TensorProto.FLOAT, made: str = "Identity x", gives: int = 0) -> Any:
    return lambda folder: graph(folder, [("x", kind, shape)], [("y", gives or kind, made)])


INT64 = TensorProto.INT64
IN, OUT = (f"expected {side} of one value or one list of values a row, got " for side in ("inputs", "outputs"))
REFUSED: dict[str, tuple[Any, str]] = {
    "missing": (lambda folder: folder / "no.onnx", "no.onnx`, got none; name an ONNX or LightGBM text file"),
    "a folder": (lambda folder: folder, "`, got a folder; name an ONNX or LightGBM text file"),
    "empty": (file("m.onnx", b""), "m.onnx` expected a model, got an empty file; write it again"),
    "pickle": (
        file("m.onnx", pickle.dumps(3)),
        "got a pickle, which runs code when it is read; export the model to ONNX, or return it from a model node",
    ),
    "joblib": (file("m.joblib", b"x\x9c"), "got a pickle, which runs code when it is read; "),
    "archive": (file("m.pt", b"PK\3\4"), "text file, got a zip archive (of PyTorch, Keras or skops?); export"),
    "JSON": (file("m.json", b'{"learner": 1}'), "text file, got JSON (of XGBoost?); export the model to ONNX, or save"),
    "text": (file("m.txt", b"hello"), "expected an ONNX or LightGBM text file, got another file; export"),
    "cut off": (broken, "expected a whole model, got one that does not load: "),
    "no graph": (file("m.onnx", b"\x08\x07garbage"), "expected a whole model, got one that does not load: "),
    "categories": (categories, "expected features that are numbers, got categories of a pandas frame; serve it from"),
    "image": (shaped([None, 3, 32, 32]), IN + "`x` of shape ?×3×32×32; serve it from a project, whose api gives"),
    "unknown": (shaped(None), IN + "`x` of unknown shape; serve it from a project"),
    "any width": (shaped(["n", "k"]), IN + "`x` of shape ?×?; export it with a fixed number of features"),
    "one row": (shaped([20]), IN + "`x` of shape 20; serve it"),
    "one answer": (shaped(["n", 2], made="Shape x", gives=INT64), OUT + "`y` of shape 2 for 5 rows; serve it"),
    "too wide": (shaped(["n", 2001]), "expected at most 2000 values a row in the contract, got more; serve it"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_such_model_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, told = REFUSED[name]
    path = make(tmp_path)
    with pytest.raises(ServeError) as caught:
        bare_file.kind_of(path)
        api_of(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_meanwhile_is_not_served(tmp_path: Path) -> None:
    path = text(tmp_path, trees())
    before = digest.of_file(path)
    trees(num_leaves=4).save_model(path)
    with pytest.raises(ServeError, match="expected the bytes that serving began with, got others; start the server"):
        bare.load({"file": str(path), "digest": before})


def test_a_library_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shaped(["n", 2])(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ServeError) as caught:
        api_of(path)
    assert str(caught.value) == (
        "a model file of this kind expected `onnxruntime`, got none installed; run: pip install onnxruntime"
    )


def test_the_command_refuses_before_it_listens(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "funade", "serve", str(shaped([None, 3, 32, 32])(tmp_path)), "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ServeError: `")
    assert line.endswith("serve it from a project, whose api gives the model what it takes")


def test_a_file_that_ends_the_process_that_reads_it_is_refused_in_one_line(tmp_path: Path) -> None:
    path = text(tmp_path, trees())
    path.write_text(path.read_text().replace("num_leaves=31", "num_leaves=30", 1))
    done = subprocess.run(
        [sys.executable, "-m", "funade", "serve", str(path), "--port", "0"], capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ServeError: `{path}` expected a whole model, got one that does not load: ")


def test_a_worker_of_a_lightgbm_text_imports_neither_pandas_nor_scikit_learn(tmp_path: Path) -> None:
    """They are three quarters of its start and of its memory."""
    path = text(tmp_path, trees())
    program = (
        "import sys; from funade.serve.bare import serve as bare; "
        f"bare.load({{'file': {str(path)!r}, 'digest': {digest.of_file(path)!r}}}); "
        "print(*sorted({'pandas', 'pyarrow', 'sklearn', 'duckdb', 'polars', 'lightgbm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lightgbm"]
