"""Tests of the engine itself: what its own maintainers would run."""

from tinyserve.device import Device
from tinyserve.layers import Layers
from tinyserve.model import Model
from tinyserve.scheduler import Request, Scheduler

WORDS = [f"w{i}" for i in range(64)]
MODEL = Model("m", 2, 64, WORDS, {w: i for i, w in enumerate(WORDS)})


def answers(prompts, wanted=5, running=4):
    device = Device("spin")
    scheduler = Scheduler(MODEL, device, Layers(device, 2, 64, "plain", 16), running, 2, False)
    made = [[] for _ in prompts]
    for number, prompt in enumerate(prompts):
        scheduler.add(Request(MODEL.encode(prompt), wanted, lambda *token, n=number: made[n].append(token)))
    while scheduler.waiting or scheduler.running:
        scheduler.step()
    return made


def test_every_request_gets_all_its_tokens():
    made = answers(["w1 w2", "w3", "w4 w5 w6"], wanted=7, running=2)
    assert [len(tokens) for tokens in made] == [7, 7, 7]
    assert [tokens[-1][2] for tokens in made] == ["length"] * 3
    assert all(token[2] is None for tokens in made for token in tokens[:-1])


def test_an_answer_does_not_depend_on_its_neighbours():
    alone = answers(["w1 w2 w3"])[0]
    assert answers(["w9", "w1 w2 w3", "w7 w8"])[1] == alone


def test_another_prompt_has_another_answer():
    first, second = answers(["w1 w2 w3", "w1 w2 w4"])
    assert first != second
