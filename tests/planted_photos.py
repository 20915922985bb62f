"""Photos with an original, a name, a place and serial numbers in every place that their formats offer.

The photo itself shows stripes; the original, a square of blocks that is like nothing else, is what must not come out.
"""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

NAME, SERIAL, PLACE = "Karin Unverwechselbar", "SN-4711-0815-77", "GPS 48.137154N 11.576124E"
WORDS = (NAME, SERIAL, PLACE)
LATITUDE = ((48, 1), (8, 1), (137154, 4711))  # degrees, minutes and seconds as EXIF has them
SIZE = (160, 120)  # of the photos


def original() -> Image.Image:
    """RGB, 48x48: what a thumbnail of the photo before its faces were changed would show."""
    blocks = np.random.default_rng(4711).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((6, 6, 1), np.uint8)))


def photo() -> Image.Image:
    """RGB, of SIZE: what may come out."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return Image.fromarray(
        np.stack([127 + 100 * np.sin(x / 23), 127 + 90 * np.cos(y / 19), 90 + x / 2], -1).astype("u1")
    )


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def thumbnail() -> bytes:
    return encoded(original(), "JPEG", quality=90)


def texts() -> bytes:
    return " / ".join(WORDS).encode()


def profile() -> bytes:
    """The profile of sRGB with texts, a private tag, a thumbnail in it and behind it, and 1.2 MB in all."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (count,) = struct.unpack(">I", plain[128:132])
    entries = [list(struct.unpack(">4sII", plain[132 + 12 * i : 144 + 12 * i])) for i in range(count)]
    name = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", 2 * len(NAME), 28) + NAME.encode("utf-16-be")
    private = [(b"desc", name), (b"dmnd", b"text\0\0\0\0" + texts()), (b"prvt", b"data\0\0\0\0" + thumbnail())]
    kept = [entry for entry in entries if entry[0] not in (b"desc", b"dmnd")]
    shift = 12 * (len(kept) + len(private) - count)
    body, table = plain[132 + 12 * count :], b""
    for tag, start, size in kept:
        table += struct.pack(">4sII", tag, start + shift, size)
    for tag, content in private:
        table += struct.pack(">4sII", tag, 132 + 12 * (len(kept) + len(private)) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    body += SERIAL.encode() + thumbnail()
    body = body.ljust(1_200_000, b"\x5a")
    head = bytearray(plain[:128])
    head[48:56] = b"KARI4711"  # manufacturer and model of a screen
    data = bytes(head) + struct.pack(">I", len(kept) + len(private)) + table + body
    return struct.pack(">I", len(data)) + data[4:]


def exif(orientation: int = 1) -> bytes:
    """EXIF with everything that names somebody, GPS, a maker's note, and IFD1 with a thumbnail. Little endian TIFF."""
    head = [
        (0x010E, 2, NAME.encode()), (0x010F, 2, b"Maker " + SERIAL.encode()), (0x0112, 3, orientation),
        (0x013B, 2, NAME.encode()), (0x9C9D, 1, NAME.encode("utf-16-le")), (0x8298, 2, texts()),
    ]  # fmt: skip
    camera = [
        (0x927C, 7, b"MAKER\0" + texts() + thumbnail()), (0x9286, 7, b"ASCII\0\0\0" + texts()),
        (0xA430, 2, NAME.encode()), (0xA431, 2, SERIAL.encode()), (0xA435, 2, SERIAL.encode()),
    ]  # fmt: skip
    seconds = b"".join(struct.pack("<II", *pair) for pair in LATITUDE)
    place = [(1, 2, b"N\0"), (2, 5, seconds), (0x1B, 7, b"ASCII\0\0\0" + PLACE.encode())]
    small = [(0x0103, 3, 6), (0x0201, 4, thumbnail()), (0x0202, 4, len(thumbnail()))]
    return b"Exif\0\0" + tiff_blocks([head, small], {0x8769: camera, 0x8825: place})


def tiff_blocks(chain: list, below: dict) -> bytes:
    """A little endian TIFF of IFDs: those of a chain, and those below the first, by their tags."""
    first, *others = (sorted(entries, key=lambda entry: entry[0]) for entries in chain)
    first = sorted([*first, *((tag, 4, entries) for tag, entries in below.items())], key=lambda entry: entry[0])
    body = bytearray(b"II*\0" + struct.pack("<I", 8))

    def write(entries: list) -> int:
        start = len(body)
        body.extend(struct.pack("<H", len(entries)) + bytes(12 * len(entries) + 4))
        for i, (tag, kind, value) in enumerate(entries):
            count = 1
            if isinstance(value, list):
                value = write(sorted(value, key=lambda entry: entry[0]))
            if isinstance(value, bytes) and tag in (0x0201, 0x0111):  # an offset to bytes
                place = len(body)
                body.extend(value)
                value = place
            if isinstance(value, bytes):
                count = len(value) // {3: 2, 5: 8}.get(kind, 1)
                if len(value) <= 4:
                    field = value.ljust(4, b"\0")
                else:
                    field = struct.pack("<I", len(body))
                    body.extend(value)
            else:
                field = struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
            place = start + 2 + 12 * i
            body[place : place + 12] = struct.pack("<HHI", tag, kind, count) + field
        return start

    start = write(first)
    link = start + 2 + 12 * len(first)
    for entries in others:
        place = write(entries)
        body[link : link + 4] = struct.pack("<I", place)
        link = place + 2 + 12 * len(entries)
    return bytes(body)


def xmp() -> bytes:
    small = base64.b64encode(thumbnail()).decode()
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        '"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/'
        f'elements/1.1/" dc:creator="{NAME}" dc:source="{SERIAL}"><xmp:Thumbnails>{small}</xmp:Thumbnails>'
        f"<dc:place>{PLACE}</dc:place></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def photoshop() -> bytes:
    """Photoshop's blocks: IPTC with names, and a thumbnail."""
    iptc = b"".join(
        b"\x1c\x02" + bytes([n]) + struct.pack(">H", len(t)) + t.encode() for n, t in ((80, NAME), (90, PLACE))
    )
    small = struct.pack(">6I2H", 1, 48, 48, 144, 48 * 144, len(thumbnail()), 24, 1) + thumbnail()
    blocks = b""
    for number, content in ((0x0404, iptc), (0x040C, small), (0x03ED, SERIAL.encode())):
        blocks += b"8BIM" + struct.pack(">H2xI", number, len(content)) + content + bytes(len(content) % 2)
    return blocks


def jumbf() -> bytes:
    """Boxes as those of C2PA: a claim with a name, and a thumbnail."""
    inner = box(b"jumd", b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0") + box(b"json", texts())
    return box(b"jumb", inner + box(b"bfdb", b"\0image/jpeg\0") + box(b"bidb", thumbnail()))


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def jpeg() -> bytes:
    """Every segment that is known to hold something, and a trailer."""
    data = encoded(photo(), "JPEG", quality=92)
    raw = np.asarray(original().resize((40, 40))).tobytes()
    parts = [
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1" + bytes([40, 40]) + raw),
        segment(0xE0, b"JFXX\0\x10" + thumbnail()),
        segment(0xE1, exif()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp()),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", len(xmp()), 0) + xmp()),
        segment(0xE3, b"META\0\0" + texts()),
        segment(0xEB, b"JP\0\1" + struct.pack(">I", 1) + jumbf()),
        segment(0xEC, b"Ducky\0" + texts()),
        segment(0xED, b"Photoshop 3.0\0" + photoshop()),
        segment(0xEF, b"PRIVATE\0" + thumbnail()),
        segment(0xFE, texts()),
    ]
    whole = profile()
    pieces = [whole[i : i + 60000] for i in range(0, len(whole), 60000)]
    parts += [segment(0xE2, b"ICC_PROFILE\0" + bytes([i, len(pieces)]) + piece) for i, piece in enumerate(pieces, 1)]
    trailer = box(b"ftyp", b"mp42") + thumbnail() + texts() + b"SEFHe\0\0\0" + encoded(original(), "PNG")
    return data[:2] + b"".join(parts) + data[20:] + trailer


def mpo() -> bytes:
    return encoded(photo(), "MPO", save_all=True, append_images=[original()], exif=exif())


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(picture: Image.Image | None = None) -> bytes:
    """Texts of every kind, also larger than Pillow reads, private parts, and what stands behind pixels and end."""
    info = PngInfo()
    info.add_text("Author", NAME)
    info.add_text("Comment", texts().decode() + "x" * 2_000_000, zip=True)
    info.add_itxt("Title", NAME, zip=True)
    info.add_itxt("XML:com.adobe.xmp", xmp().decode())
    info.add_text("Raw profile type iptc", "\niptc\n" + photoshop().hex())
    data = encoded(picture or photo(), "PNG", pnginfo=info, exif=exif()[6:])
    packed = b"ICC " + NAME.encode()[:20] + b"\0\0" + zlib.compress(profile())
    extra = [
        (b"iCCP", packed),
        (b"sPLT", NAME.encode() + b"\0\x08" + bytes(6)),
        (b"caBX", jumbf()),
        (b"prVt", texts() + thumbnail()),
        (b"tIME", struct.pack(">H5B", 2024, 2, 29, 12, 34, 56)),
    ]
    data = data[:33] + b"".join(png_chunk(*part) for part in extra) + data[33:]
    return data + texts() + thumbnail()


def webp() -> bytes:
    data = encoded(photo(), "WEBP", quality=90, exif=exif(), xmp=xmp(), icc_profile=profile())
    extra = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in ((b"SCRT", texts()), (b"THMB", thumbnail()))
    )
    data = b"RIFF" + struct.pack("<I", len(data) - 8 + len(extra)) + data[8:] + extra
    return data + texts() + thumbnail()


def tiff() -> bytes:
    """Tags of XMP, IPTC, Photoshop, ICC, EXIF, GPS and private ones, a SubIFD and a second page with the original."""
    small = np.asarray(original()).tobytes()

    def page(width: int, height: int, pixels: bytes, reduced: int) -> list:
        return [
            (0x00FE, 4, reduced), (0x0100, 3, width), (0x0101, 3, height), (0x0102, 3, struct.pack("<3H", 8, 8, 8)),
            (0x0103, 3, 1), (0x0106, 3, 2), (0x0111, 4, pixels), (0x0115, 3, 3), (0x0116, 3, height),
            (0x0117, 4, len(pixels)),
        ]  # fmt: skip

    main = [
        *page(*SIZE, np.asarray(photo()).tobytes(), 0),
        *((0x013B, 2, NAME.encode()), (0x02BC, 1, xmp()), (0x83BB, 7, photoshop()[:120]), (0x8649, 1, photoshop())),
        *((0x8773, 7, profile()), (0xC62F, 2, SERIAL.encode()), (0xFDE8, 7, texts() + thumbnail())),
        (0x935C, 7, photoshop()),
    ]
    camera = [(0x927C, 7, b"MAKER\0" + texts()), (0xA430, 2, NAME.encode()), (0xA431, 2, SERIAL.encode())]
    seconds = b"".join(struct.pack("<II", *pair) for pair in LATITUDE)
    place = [(1, 2, b"N\0"), (2, 5, seconds), (0x1B, 7, PLACE.encode())]
    below = {0x8769: camera, 0x8825: place, 0x014A: page(48, 48, small, 1)}
    return tiff_blocks([main, page(48, 48, small, 1)], below)


def gif() -> bytes:
    data = encoded(photo().quantize(64), "GIF", comment=texts())
    application = b"\x21\xff\x0bXMP DataXMP" + xmp() + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    place = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:place] + application + data[place:] + thumbnail() + texts()


def avif() -> bytes:
    data = encoded(photo(), "AVIF", quality=90, exif=exif(), xmp=xmp(), icc_profile=profile())
    return data + box(b"uuid", bytes(16) + jumbf()) + box(b"free", texts() + thumbnail()) + box(b"mdat", thumbnail())


def jp2() -> bytes:
    data = encoded(photo(), "JPEG2000", quality_mode="rates", quality_layers=[4], comment=texts())
    xml = box(b"xml ", xmp())
    place = data.index(b"jp2c") - 4
    exif_box = box(b"uuid", b"JpgTiffExif->JP2" + exif()[6:])
    return data[:place] + xml + exif_box + data[place:]


def bmp() -> bytes:
    """With a gap before the pixels and a trailer."""
    data = encoded(photo(), "BMP")
    gap = texts() + thumbnail()
    (start,) = struct.unpack("<I", data[10:14])
    return data[:10] + struct.pack("<I", start + len(gap)) + data[14:start] + gap + data[start:] + gap


def ppm() -> bytes:
    data = encoded(photo(), "PPM")
    return data[:3] + b"# " + texts() + b"\n" + data[3:] + thumbnail()


def tga() -> bytes:
    data = encoded(photo(), "TGA", id_section=texts())
    return data[: data.rindex(b"TRUEVISION") - 8] + texts() + thumbnail()


def hidden_below_alpha(format: str) -> bytes:
    """The original lies where alpha is 0."""
    picture = photo().convert("RGBA")
    picture.paste(original(), (20, 30))
    clear = Image.new("L", SIZE, 255)
    clear.paste(0, (10, 20, 80, 90))
    picture.putalpha(clear)
    return encoded(picture, format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))


PLANTED = {
    **{"a.jpg": jpeg, "b.mpo": mpo, "c.png": png, "d.webp": webp, "e.tif": tiff, "f.gif": gif, "g.avif": avif},
    **{"h.jp2": jp2, "i.bmp": bmp, "j.ppm": ppm, "k.tga": tga},
    **{"hidden.png": lambda: hidden_below_alpha("PNG"), "hidden.webp": lambda: hidden_below_alpha("WEBP")},
    "hidden.tif": lambda: hidden_below_alpha("TIFF"),
}
