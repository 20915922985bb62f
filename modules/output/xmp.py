"""The XMP packet that says how a picture or a clip was made, and its place in JPEG and MP4 files."""

from __future__ import annotations

import struct

CREATOR_TOOL = "Face Anonymizer for ComfyUI"
# "Composite with trained algorithmic media": a photo with parts that a trained model made. IPTC NewsCodes.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_MP4 = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

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
    """The XMP packet that marks a picture or a clip as partly made by a trained model.

    Returns:
        UTF-8 (ISO 16684-1): xmp:CreatorTool and Iptc4xmpExt:DigitalSourceType (IPTC Photo Metadata Standard 2023.1),
        nothing else.
    """
    return _XMP_PACKET.encode()


def jpeg_with_xmp(jpeg: bytes, packet: bytes) -> bytes:
    """Put an XMP packet into a JPEG file, as an APP1 segment (XMP part 3, 1.1.3).

    Pillow writes it only from version 11 on, and drops it without a word before.

    Args:
        jpeg: the bytes of the file.
        packet: from xmp_packet.

    Returns:
        The bytes of the file with the segment behind the JFIF header, where there is one.
    """
    place = 2  # behind the start-of-image marker
    if jpeg[2:4] == b"\xff\xe0":
        place += 2 + struct.unpack(">H", jpeg[4:6])[0]
    body = _XMP_IN_JPEG + packet
    return jpeg[:place] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[place:]


def mp4_xmp_box(packet: bytes) -> bytes:
    """An XMP packet as a box of type `uuid` (XMP part 3, 1.2.7.3), to be put at the end of an MP4 or MOV file."""
    body = _XMP_IN_MP4 + packet
    return struct.pack(">I", 8 + len(body)) + b"uuid" + body
