"""What a proof says in every run: what it shows, and what it does not."""

from __future__ import annotations

TITLE = "Anonymization report"
SHOWS = (
    "For each face that was found: what was done to it, and, where recognisers compared it with the original, what "
    "each of them measured, beside the threshold from which on it takes two faces for two people. One recogniser that "
    "says <em>the same person</em> is enough to refuse a face.",
    "Which files it speaks of: those whose contents have the digests below. The smallest change gives another digest. "
    "To check a file, run <b>sha256sum FILE</b> (Linux), <b>shasum -a 256 FILE</b> (macOS) or "
    "<b>certutil -hashfile FILE SHA256</b> (Windows).",
    "Nothing of the originals: no picture, no name of a file, and nothing that a recogniser computes of a face but how "
    "far two faces are apart.",
)
SHOWS_NOT = (
    "<b>That nobody can be recognised.</b> It says what the recognisers that are named here measured. Others may see "
    "more, and so may people who know somebody.",
    "<b>Protection from somebody who trains for it.</b> An attacker who knows the method can train a recogniser on "
    "pictures that it has changed, and does better than these.",
    "<b>Anything beside the face:</b> body, hair, clothes, tattoos, gait, voice, the place, the other people, the text "
    "around a picture. All of it may tell who somebody is, and stays.",
    "<b>Faces that were not found.</b> They have no row here, and are as they were. Look at the results yourself.",
    "<b>As much for twins and children.</b> Recognisers take close relatives, and children, for one another more often "
    "than grown-up strangers; they were trained on public figures, and err more often for people who look otherwise.",
    "<b>Who wrote it.</b> This page is not signed. Its digests tie it to the files; nothing ties it to its author.",
)
NO_RECOGNISER = (
    "No recogniser has compared any face of this report with its original. What was done is told; whether anybody can "
    "still be recognised was not measured."
)
NEAREST_FRAME = "Of a person in a clip, figures are those of the frame that is nearest to the original."
REFUSED = (
    "Where a face was covered because a painting of it was refused, figures are those of that painting, which is not "
    "in the result."
)
