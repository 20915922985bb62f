"""Where a picture came from, and the mark that says how it was made: prompt walk, ICC profile, XMP packet."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

CREATOR_TOOL = "Face Anonymizer for ComfyUI"
# "Composite with trained algorithmic media": a photo with parts that a trained model made. IPTC NewsCodes.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_UPSTREAM_INPUTS = ("image", "images", "pixels", "samples", "latent_image", "latent")  # the first is followed first
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_MP4 = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_RGB_PROFILE, _GRAY_PROFILE = b"RGB ", b"GRAY"

_XMP_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{CREATOR_TOOL}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def xmp_packet() -> bytes:
    """The XMP packet (ISO 16684-1, UTF-8) that marks a picture or clip as partly made by a trained model.

    It holds xmp:CreatorTool and Iptc4xmpExt:DigitalSourceType (IPTC Photo Metadata Standard 2023.1), nothing else.
    """
    return _XMP_PACKET.encode()


def jpeg_with_xmp(jpeg: bytes, packet: bytes) -> bytes:
    """The JPEG file with the packet as an APP1 segment (XMP part 3, 1.1.3), behind the JFIF header where there is one.

    Pillow writes it by itself only from version 11 on, and drops it without a word before.
    """
    place = 2  # behind the start-of-image marker
    if jpeg[2:4] == b"\xff\xe0":
        place += 2 + struct.unpack(">H", jpeg[4:6])[0]
    body = _XMP_IN_JPEG + packet
    return jpeg[:place] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[place:]


def mp4_xmp_box(packet: bytes) -> bytes:
    """The packet as an MP4 or MOV box of type `uuid` (XMP part 3, 1.2.7.3), to stand at the end of the file."""
    body = _XMP_IN_MP4 + packet
    return struct.pack(">I", 8 + len(body)) + b"uuid" + body


def source_image(prompt: Mapping[str, Mapping], node_id: str, input_name: str = "images") -> str | None:
    """The file that the picture at this input came from: the `image` widget of the first loader upstream, or None.

    prompt: node id -> {"inputs": {name: a value, or a link [node id, slot]}, ...}, as ComfyUI runs it. Inputs that
    carry the picture itself are followed, `image` first; masks, models and second pictures are not.
    """
    waiting = [_linked(prompt.get(node_id), input_name)]
    seen = {node_id}
    while waiting:
        node_id = waiting.pop()
        if node_id is None or node_id in seen or node_id not in prompt:
            continue
        seen.add(node_id)
        node = prompt[node_id]
        if isinstance(file := node["inputs"].get("image"), str):
            return file
        waiting += [_linked(node, name) for name in reversed(_UPSTREAM_INPUTS)]
    return None


def icc_profile(file: str | Path) -> bytes | None:
    """The ICC profile of a picture file; None where there is none or the file cannot be read as a picture."""
    try:
        with Image.open(file) as picture:
            return picture.info.get("icc_profile")
    except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for some broken headers
        return None


def fitting_profile(profile: bytes | None, channels: int) -> bytes | None:
    """The profile if it describes pictures of this many channels, else None (ICC.1:2022, 7.2.8).

    A CMYK photo, say, is RGB by the time it is saved: its profile would turn all colours wrong.
    """
    space = _GRAY_PROFILE if channels == 1 else _RGB_PROFILE
    return profile if profile is not None and profile[16:20] == space else None


def _linked(node: Mapping | None, input_name: str) -> str | None:
    """The id of the node that an input is connected to, or None."""
    value = None if node is None else node["inputs"].get(input_name)
    return str(value[0]) if isinstance(value, list) and len(value) == 2 else None
