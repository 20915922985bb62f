"""Frames a second and the time left, in words."""

import pytest

from face_anonymizer.modules.video.pace import Pace, in_words


class _Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _told(steps, count):
    """The texts of a job that is at `done` after so many seconds: (seconds, done) each."""
    clock, texts = _Clock(), []
    pace = Pace(texts.append, clock)
    for seconds, done in steps:
        clock.now = 100.0 + seconds
        pace(done, count)
    return texts


def test_rate_and_time_left():
    assert _told([(0, 0), (10, 100)], 600)[-1] == "frame 100 of 600, 10 frames a second, 50 s left"
    assert _told([(0, 0), (10, 5)], 600)[-1] == "frame 5 of 600, 0.5 frames a second, 19 min 50 s left"
    assert _told([(0, 0), (10, 600)], 600)[-1] == "frame 600 of 600, 60 frames a second"


def test_first_frame_is_told_at_once_without_a_rate():
    assert _told([(0, 0), (0.2, 1)], 600) == ["frame 1 of 600"]


def test_two_texts_a_second_at_most_and_the_last_frame_always():
    texts = _told([(i / 100, i) for i in range(301)], 300)
    assert len(texts) <= 8
    assert texts[-1].startswith("frame 300 of 300")


def test_rate_is_that_of_the_last_seconds():
    slow = [(i, i) for i in range(0, 101)]  # a frame a second, then ten
    fast = [(100 + i, 100 + 10 * i) for i in range(1, 31)]
    assert _told(slow + fast, 1000)[-1] == "frame 400 of 1000, 10 frames a second, 1 min left"


def test_shares_of_a_frame_and_more_frames_than_were_promised():
    assert _told([(0, 0), (2, 0.5)], 3) == []
    assert _told([(0, 0), (2, 4)], 3)[-1] == "frame 4, 2.0 frames a second"


def test_another_pass_begins_anew():
    assert _told([(0, 0), (100, 50), (101, 0), (103, 40)], 50)[-1] == "frame 40 of 50, 20 frames a second, 1 s left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (11100, "3 h 5 min"),
        (7199, "2 h"),
    ],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words
