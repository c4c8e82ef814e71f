"""The script for a GPU, run on a CPU from end to end, and its single parts."""

import json

import pytest
import torch

from benchmarks.counting import count
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.report import markdown
from benchmarks.gpu.steps import Settings, Step, run_steps
from pointrend_ext.layers import forms_for, runs_cpu_form
from tests.fresh_python import run_fresh

SETTINGS = Settings("cpu", tiny=True, rounds=1)
WORDS = ["--device", "cpu", "--tiny", "--rounds", "1"]


def records(folder):
    files = [path for path in folder.glob("*.json") if path.name != "machine.json"]
    return {path.stem: json.loads(path.read_text()) for path in files}


def test_first_list_from_end_to_end(tmp_path):
    main([*WORDS, "--output", str(tmp_path)])
    found = records(tmp_path)
    kernels = {name for name in found if name.startswith("kernels_")}
    assert kernels
    assert {n for n, x in found.items() if x["status"] == "skipped"} == kernels
    assert all(found[name]["why"] == "needs CUDA" for name in kernels)
    assert {x["status"] for n, x in found.items() if n not in kernels} == {"done"}
    head = found["head_R2_C3"]["result"]
    assert head["ms"]["ours"] > 0
    assert head["ratio"] == pytest.approx(head["ms"]["upstream"] / head["ms"]["ours"], rel=0.05)
    assert "detections" in found["model_batch_2"]["result"]["equality"]
    waits = found["operators_head_R2_C3"]["result"]["ours for cuda"]["waits"]
    assert waits == {"total": 0}
    forms = found["forms_of_labels"]["result"]["ms"]
    assert forms.keys() == {"for cpu", "for cuda"}
    assert min(forms.values()) > 0
    table = (tmp_path / "results.md").read_text()
    assert table.count("\n| ") == len(found) + 2
    assert "no measurement" in table


def test_second_list_from_end_to_end(tmp_path):
    main([*WORDS, "--second", "--output", str(tmp_path)])
    found = records(tmp_path)
    assert found["cuda_graph_R2"]["status"] == "skipped"
    assert found["training_float32"]["result"]["largest relative difference"] == 0
    assert found["compiled_backbone"]["result"]["largest difference"] < 1e-4
    assert all(x["status"] == "done" for n, x in found.items() if n != "cuda_graph_R2")


def test_steps_are_kept_and_run_once(tmp_path):
    calls = []
    steps = [
        Step("speed", "good", 1, lambda settings: {"ms": {"ours": calls.append("good") or 2}}),
        Step("speed", "bad", 1, lambda settings: calls.append("bad") or 1 // 0),
        Step("speed", "long", 100, lambda settings: calls.append("long") or {}),
        Step("speed", "graph", 1, lambda settings: calls.append("graph") or {}, needs_cuda=True),
    ]
    first = run_steps(steps, SETTINGS, tmp_path, 50)
    assert [x["status"] for x in first] == ["done", "failed", "no time", "skipped"]
    assert first[1]["why"].startswith("ZeroDivisionError")
    assert first[2]["why"] == "needs up to 100 s, 50 s are left"
    second = run_steps(steps, SETTINGS, tmp_path, 500)
    assert [x["status"] for x in second] == ["done", "failed", "done", "skipped"]
    assert calls == ["good", "bad", "bad", "long"]
    # other settings, other numbers
    run_steps(steps[:1], Settings("cpu", tiny=False, rounds=1), tmp_path, 50)
    assert calls[-1] == "good"


def test_an_empty_folder_has_no_table(tmp_path):
    assert markdown(tmp_path) == ""


def test_a_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_counts():
    x = torch.tensor([1.0, 0.0, 2.0])
    nothing = count(lambda: x.view(3, 1).t())
    assert (nothing.operators, nothing.waits.total(), nothing.uploads) == (0, 0, 0)
    found = count(lambda: (x.tolist(), x[0].item(), x.nonzero(), x[x > 0], x + 1, x.clone()))
    assert found.waits == {"tolist": 1, "_local_scalar_dense": 1, "nonzero": 1, "index": 1}
    assert found.copies == 1
    assert count(lambda: torch.tensor([1, 2])).uploads == 1
    assert count(lambda: x[torch.tensor([0])]).waits.total() == 0


def test_forms_are_forced_and_restored():
    cpu, meta = torch.device("cpu"), torch.device("meta")
    assert (runs_cpu_form(cpu), runs_cpu_form(meta)) == (True, False)
    with forms_for("cuda"):
        assert not runs_cpu_form(cpu)
        with forms_for("cpu"):
            assert runs_cpu_form(meta)
        assert not runs_cpu_form(cpu)
    assert runs_cpu_form(cpu)
    with pytest.raises(ValueError, match="not for 'tpu'"), forms_for("tpu"):
        pass


@pytest.mark.parametrize(("chosen", "said"), [("", "True"), ("cuda", "False"), ("tpu", "'tpu'")])
def test_the_environment_chooses_a_form(chosen, said):
    code = (
        "import torch; from pointrend_ext.layers.device_rule import runs_cpu_form; "
        "print(runs_cpu_form(torch.device('cpu')))"
    )
    done = run_fresh(code, POINTREND_FORMS=chosen)
    assert said in (done.stdout or done.stderr.splitlines()[-1])
