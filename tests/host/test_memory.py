"""How much of a card the method takes, counted on a pretended one, and how many faces the nodes choose for it.

    python scripts/with_env.py -m pytest tests/host/test_memory.py --long -s

prints the tables of docs/memory.md; without -s, fewer rows are counted. Counted are the bytes of all tensors that live
on the card at the same time, with attention as one fused operation, as cards have it; with them come the host's reserve
and half a GiB for the driver's context and the workspaces of its libraries. Nothing here was measured on a card.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import comfy.model_management
import pytest
import torch
from pretended_gpu import CONTEXT, GIB, Card, PretendedDevice, pretended
from pretended_way import SIZE, model_folder, references

from face_anonymizer.modules.model import projections, sampling
from face_anonymizer.modules.model.attention import ReferenceAttention
from face_anonymizer.modules.model.embedding import encode_image
from face_anonymizer.modules.model.loading import load_model_folder
from face_anonymizer.modules.model.memory import recorded_at_once, sampled_at_once
from face_anonymizer.modules.model.references import References
from face_anonymizer.modules.model.sampling import sample
from face_anonymizer.modules.model.settings import SamplerSettings
from face_anonymizer.modules.model.states import ImageEmbeds, ReferenceStates

pytestmark = [
    pytest.mark.long,  # of full size: what is counted are its bytes
    # its own functions of torch.cuda would be replaced
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real card"),
]

MIB = 1 << 20
LARGE = 80  # GiB; there both halves of the guidance go through together
CARDS, FEWER_CARDS = (4, 6, 8, 12, 24), (4, 8, 24)
FACES, FEWER_FACES = (1, 4, 8, 16), (1, 4, 16)
LATENT = (4, SIZE // 8, SIZE // 8)


def rows(config: pytest.Config, every: tuple[int, ...], fewer: tuple[int, ...]) -> tuple[int, ...]:
    """All rows of a table where it is printed."""
    return every if config.getoption("capture") == "no" else fewer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "gib" in metafunc.fixturenames:
        metafunc.parametrize("gib", rows(metafunc.config, CARDS, FEWER_CARDS))


class Workplace:
    """A model of full size in fp16 on a pretended card of changing size, and the references of one face."""

    def __init__(self, device: PretendedDevice):
        self.device = device
        self.model = load_model_folder(model_folder(), weight_dtype="fp16")
        with device.values():
            picture = torch.rand(1, SIZE, SIZE, 3)
        self.references = references(device, self.model, picture)
        self.states = (self.references.source_states, self.references.driving_states)
        self.batches: set[int] = set()  # of what went through the UNet

    def on_a_card(self, gib: float) -> int:
        """Begin anew on a card of this size, which other models have filled; bytes of it that the method may take."""
        comfy.model_management.unload_all_models()
        self.device.total = int(gib * GIB)
        others = [self.model.vae.patcher, self.model.clip_vision.patcher, self.model.driving_reference_net.patcher]
        comfy.model_management.load_models_gpu(others)
        return self.device.total - CONTEXT - comfy.model_management.extra_reserved_memory()

    def sampling(self, faces: int, guided: bool) -> int:
        """Peak in bytes of one step of the paper's sampler with so many different faces, in one part."""
        self.batches.clear()
        unet = self.model.unet.clone()
        unet.set_model_attn1_patch(self._spy)
        self.device.reset_peak()
        sampler = SamplerSettings(steps=1, guidance_scale=4.0 if guided else 1.0)
        one = self.references
        parts = (one.source_states, one.driving_states, one.source_embeds, one.driving_embeds)
        sample(unet, References(*(repeated(part, faces) for part in parts)), range(7, 7 + faces), sampler)
        return self.device.peak

    def keeping(self, faces: int, steps: int = 2) -> int:
        """Peak in bytes of a guided run that keeps the references' projections where memory allows it."""
        self.device.reset_peak()
        one = self.references
        parts = (one.source_states, one.driving_states, one.source_embeds, one.driving_embeds)
        everything = References(*(repeated(part, faces) for part in parts))
        sample(self.model.unet, everything, range(7, 7 + faces), SamplerSettings(steps=steps))
        return self.device.peak

    def recording(self, faces: int) -> int:
        """Peak in bytes of the source ReferenceNet with so many faces."""
        self.device.reset_peak()
        self.model.source_reference_net.states(
            torch.zeros(faces, *LATENT), repeated(self.references.source_embeds, faces)
        )
        return self.device.peak

    def sampled_at_once(self) -> int:
        return sampled_at_once(self.model.unet, LATENT, self.states)

    def recorded_at_once(self) -> int:
        patcher = self.model.source_reference_net.patcher
        comfy.model_management.load_models_gpu([patcher], memory_required=patcher.memory_required([1, *LATENT]))
        return recorded_at_once(patcher, LATENT)

    def _spy(self, x, context, value, extra_options):
        self.batches.add(x.shape[0])
        return x, context, value


def repeated(reference, faces: int):
    """The states or embeddings of one face, for many: each with memory of its own."""
    if isinstance(reference, ImageEmbeds):
        return replace(reference, embeds=reference.embeds.repeat(faces, 1, 1))
    assert isinstance(reference, ReferenceStates)
    conditional = {layer: state.repeat(faces, 1, 1) for layer, state in reference.conditional.items()}
    return replace(reference, conditional=conditional)


@dataclass(frozen=True)
class Line:
    """Bytes of a number of faces: what is there anyway, and what each adds."""

    start: float
    slope: float

    @classmethod
    def through(cls, peaks: dict[int, int]) -> Line:
        first, last = min(peaks), max(peaks)
        slope = (peaks[last] - peaks[first]) / (last - first)
        return cls(peaks[first] - slope * first, slope)

    def at(self, faces: int) -> float:
        return self.start + self.slope * faces

    def largest(self, limit: float) -> int:
        return int((limit - self.start) / self.slope)


@pytest.fixture(scope="module")
def workplace() -> Iterator[Workplace]:
    with pretended(Card(gib=LARGE)) as device:
        yield Workplace(device)


@pytest.fixture(scope="module")
def peaks(workplace, request) -> dict[str, dict[int, int]]:
    """Peak of each number of faces, with nothing else on the card."""
    workplace.on_a_card(LARGE)
    comfy.model_management.unload_all_models()
    numbers = rows(request.config, FACES, FEWER_FACES)
    counted = {"a ReferenceNet": {faces: workplace.recording(faces) for faces in numbers}}
    comfy.model_management.unload_all_models()
    counted["sampler, no guidance"] = {faces: workplace.sampling(faces, guided=False) for faces in numbers}
    counted["sampler, both halves at once"] = {faces: workplace.sampling(faces, guided=True) for faces in numbers}
    return counted


@pytest.fixture(scope="module")
def lines(peaks) -> dict[str, Line]:
    return {what: Line.through(counted) for what, counted in peaks.items()}


def test_the_peak_grows_by_the_same_with_every_face(peaks, lines):
    print(f"\n\nSD2.1's UNet (866 M), fp16, {SIZE} px faces: MiB of tensors on the card at most\n")
    print("| faces at once |", " | ".join(peaks), "|")
    print("|---" * (1 + len(peaks)) + "|")
    for faces in next(iter(peaks.values())):
        print(f"| {faces} |", " | ".join(f"{counted[faces] / MIB:.0f}" for counted in peaks.values()), "|")
    print("| each |", " | ".join(f"{line.slope / MIB:.1f}" for line in lines.values()), "|")
    for what, counted in peaks.items():
        for faces, peak in counted.items():
            assert abs(peak - lines[what].at(faces)) < MIB, f"{what}: {faces} faces are off the line"


def test_no_choice_exceeds_its_card_and_each_uses_it(workplace, lines, gib):
    limit = workplace.on_a_card(gib)
    chosen, largest = workplace.sampled_at_once(), lines["sampler, no guidance"].largest(limit)
    peak = workplace.sampling(chosen, guided=True)
    assert workplace.batches == {chosen}, f"{chosen} faces went through as {workplace.batches}"
    assert peak <= limit
    assert chosen >= 0.8 * largest
    comfy.model_management.unload_all_models()
    recorded, most_recorded = workplace.recorded_at_once(), lines["a ReferenceNet"].largest(limit)
    assert lines["a ReferenceNet"].at(recorded) <= limit
    assert recorded >= 0.8 * most_recorded
    if gib == CARDS[0]:
        reserve = comfy.model_management.extra_reserved_memory()
        print(f"\n\nWith guidance, the host's reserve of {reserve / MIB:.0f} MiB and half a GiB\n")
        print("| card, GiB | the sampler takes at once | GiB then | would fit |", end=" ")
        print("a ReferenceNet takes at once | would fit |\n|---|---|---|---|---|---|")
    used = (peak + workplace.device.total - limit) / GIB
    print(f"| {gib} | {chosen} | {used:.2f} | {largest} | {recorded} | {most_recorded} |")


def test_what_a_run_keeps_of_the_references(workplace, lines, monkeypatch):
    """At most 0.4 GiB a face, counted by the rule that decides; and nothing where it would push faces apart."""
    told, install = [], projections._install

    def spy(attention, model_options, keep):
        told.append(keep)
        install(attention, model_options, keep)

    monkeypatch.setattr(projections, "_install", spy)
    workplace.on_a_card(LARGE)
    comfy.model_management.unload_all_models()
    peaks = {faces: workplace.keeping(faces) for faces in (1, 4)}
    attention = ReferenceAttention(*workplace.states)
    size = projections.projections_size(attention, torch.float16, 2)
    line, without = Line.through(peaks), lines["sampler, both halves at once"]
    print(
        f"\n\nWith the references' projections: {peaks[1] / MIB:.0f} MiB with one face, {line.slope / MIB:.1f} each, "
    )
    print(f"of which {size / MIB:.1f} are kept\n")
    assert told == [True, True]
    assert line.slope - without.slope <= size <= 0.4 * GIB
    limit = workplace.on_a_card(8)
    assert workplace.keeping(8) <= limit
    workplace.on_a_card(4)
    workplace.keeping(workplace.sampled_at_once(), steps=1)
    assert told == [True, True, True, False]


def test_the_largest_that_fits_does_and_more_does_not(workplace, lines, monkeypatch):
    """So that the line of the sampler without guidance is that of one half after the other."""
    monkeypatch.setattr(sampling, "sampled_at_once", lambda *_: 1000)
    limit = workplace.on_a_card(6)
    largest = lines["sampler, no guidance"].largest(limit)
    assert workplace.sampling(largest - 1, guided=True) <= limit
    assert workplace.sampling(largest + 1, guided=True) > limit


def test_a_crowd_goes_through_clip_in_parts(workplace):
    workplace.on_a_card(LARGE)
    comfy.model_management.unload_all_models()
    counted = []
    with workplace.device.values():
        crops = torch.rand(70, 224, 224, 3)
        for faces in (1, 32, 70):
            workplace.device.reset_peak()
            encode_image(workplace.model.clip_vision, crops[:faces], 0.0)
            counted.append(workplace.device.peak)
    one, part, crowd = counted
    each = (part - one) / 31
    print(f"\n\nCLIP: {one / MIB:.0f} MiB with one crop, {each / MIB:.1f} with each more, {crowd / MIB:.0f} with 70\n")
    assert each < 16 * MIB  # what embedding.py asks the host for
    assert crowd < part + 2 * MIB


def test_a_card_that_never_frees_a_model(workplace, monkeypatch):
    """As with --gpu-only: what is free is asked, and not what the card has."""
    workplace.on_a_card(LARGE)
    unet = workplace.model.unet
    comfy.model_management.load_models_gpu([unet])
    many = workplace.sampled_at_once()
    monkeypatch.setattr(unet, "offload_device", unet.load_device)
    fewer = workplace.sampled_at_once()
    others = workplace.device.live - unet.model_size()
    each = sum(state.nbytes for states in workplace.states for state in states.conditional.values())
    each += unet.model.memory_required([2, *LATENT]) - unet.model.memory_required([1, *LATENT])
    assert many - fewer == pytest.approx(others / each, abs=1.1)
