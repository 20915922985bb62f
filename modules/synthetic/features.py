"""What is painted on the head's surface: eyes, brows, mouth, beard, marks and lines.

Shapes live in the head's frame, by x and y of the point that a ray meets, so that they turn with the head and hide
behind the nose. Eyes are balls behind openings in the skin. Both sides of a face are drawn at once through |x|.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch

from .geometry import Head, Vector, View, bump, dot, normalised
from .shading import Surface, colour, cover, hair_colour, iris_colour, skin_colour, smoothstep

_RADIANS = torch.pi / 180
_BALL = 1.12  # radius of an eyeball, in halves of the eye's width
_IRIS_ANGLE = 0.48  # radius of the iris on the ball, in radians
_PUPIL = 0.40  # of the iris


class Features:
    """The curves of one face under one expression, and what is painted along them.

    Heights of the eye's and the mouth's curves are functions of `u`, -1..1 from corner to corner (for eyes from the
    inner to the outer one); landmarks use the same ones.

    Args:
        identity: columns() of the identity.
        attributes: columns() of the attributes.
        head: on whose surface the face is painted.
    """

    def __init__(self, identity: SimpleNamespace, attributes: SimpleNamespace, head: Head):
        self.identity, self.attributes, self.head = identity, attributes, head
        self.mouth_width = identity.mouth_width * (1 + 0.20 * attributes.smile - 0.14 * attributes.mouth_opening)
        self.eye_half_height = identity.eye_size * identity.eye_roundness
        self.brow_y = identity.eye_height + identity.brow_height + 0.075 * attributes.brow_raise
        tilt = identity.eye_tilt * _RADIANS
        self._tilt = (torch.cos(tilt), torch.sin(tilt))
        self._skin = skin_colour(identity)
        self._hair = hair_colour(identity)
        eye = head.on_front(identity.eye_spacing, identity.eye_height)
        self._ball = identity.eye_size * _BALL
        self.eye_z = eye[2]
        self._ball_z = self.eye_z - 0.86 * self._ball

    def lids(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Heights of the upper and the lower lid above the eye's middle, along its own axis, in head units."""
        arch = 1 - u.square()
        opening = self.attributes.eye_opening
        squint = 0.16 * self.attributes.smile.clamp_min(0) * opening
        upper = (1.30 * opening - 0.30) * arch * (1 + 0.12 * u)
        lower = (squint - 0.30 - 0.50 * opening) * arch
        return upper * self.eye_half_height, lower * self.eye_half_height

    def eye_point(self, u: torch.Tensor, height: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x and y in the head's frame of a point in the right eye's own coordinates; for the left eye mirror x."""
        across = u * self.identity.eye_size
        x = self.identity.eye_spacing + across * self._tilt[0] - height * self._tilt[1]
        return x, self.identity.eye_height + across * self._tilt[1] + height * self._tilt[0]

    def brow(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x and y of the right brow's middle line in the head's frame; u is -1..1 from the inner to the outer end."""
        slope = torch.tan((self.identity.brow_angle - 7 * self.attributes.brow_raise) * _RADIANS)
        across = u * self.identity.brow_length
        height = across * slope + self.identity.brow_arch * (1 - u.square())
        return self.identity.eye_spacing * 0.97 + 0.02 + across, self.brow_y + height

    def mouth(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Heights of the mouth's four curves in the head's frame, from above.

        Args:
            u: -1..1 from the left corner of the mouth to the right one.

        Returns:
            The upper and the lower edge of the upper lip, then the upper and the lower edge of the lower lip.
        """
        i, a = self.identity, self.attributes
        square = u.square()
        arch = 1 - square
        line = self.head.mouth_y + a.smile * (0.085 * square - 0.03) + 0.018 * square
        gap = a.mouth_opening * arch
        upper_inner, lower_inner = line + 0.035 * gap, line - 0.19 * gap
        bow = 1 - 0.28 * bump(square * 14) + 0.10 * bump((u.abs() - 0.32).square() * 16)
        stretched = 1 - 0.22 * a.smile.clamp_min(0)
        return (
            upper_inner + i.upper_lip * stretched * arch * bow,
            upper_inner,
            lower_inner,
            lower_inner - i.lower_lip * stretched * arch * (1 + 0.15 * arch),
        )

    def paint(self, point: Vector, normal: Vector, view: View) -> Surface:
        """Everything on the skin, before light, at the points where the rays of the view meet the head.

        Args:
            point: where the rays meet it, in the head's frame, [B, 1, H, W] each.
            normal: unit normals of the head there.
            view: how the head is seen and lit; its rays are followed to the eyeballs.

        Returns:
            Colour, normal, occlusion and gloss of every pixel.
        """
        x, y, _ = point
        pixel = view.pixel
        painted = self._skin_surface(x, y, normal)
        self._lines(painted, x, y, pixel)
        self._marks(painted, x, y, pixel)
        self._beard(painted, x, y)
        self._nostrils(painted, x, y, pixel)
        self._mouth(painted, x, y, pixel)
        self._eyes(painted, x, y, view)
        self._brows(painted, x, y, pixel)
        return painted

    def _skin_surface(self, x, y, normal: Vector) -> Surface:
        i, head = self.identity, self.head
        ax = x.abs()
        rosy = bump((ax - 0.34).square() * 16 + (y + 0.27).square() * 24)
        rosy = rosy + 0.8 * bump(x.square() * 45 + (y - head.tip_y).square() * 60)
        albedo = (
            self._skin
            * (colour(-0.02, -0.62, -0.50, x) * (rosy * (0.10 + 0.80 * i.blush) * (1 - 0.6 * i.skin_melanin))).exp()
        )
        under_nose = bump(x.square() * 40 + (y - head.tip_y + 0.12).square() * 110)
        sockets = bump((ax - i.eye_spacing + 0.05).square() * 22 + (y - i.eye_height - 0.05).square() * 34)
        under_lip = bump(
            x.square() * 16 + (y - head.mouth_y + 0.15 + 0.19 * self.attributes.mouth_opening).square() * 180
        )
        beside_nose = bump((ax - i.nose_width * 1.25).square() * 250 + (y - head.tip_y).square() * 60)
        occlusion = (1 - 0.26 * under_nose) * (1 - 0.30 * sockets) * (1 - 0.28 * under_lip) * (1 - 0.22 * beside_nose)
        gloss = 0.05 + 0.07 * bump(x.square() * 50 + (y - head.tip_y - 0.03).square() * 30)
        return Surface(albedo, normal, occlusion, gloss)

    def _lines(self, painted: Surface, x, y, pixel) -> None:
        i, a = self.identity, self.attributes
        ax = x.abs()
        forehead = bump(x.square() * 5.5) * bump((y - self.brow_y - 0.20).square() * 60)
        waves = (0.5 + 0.5 * torch.cos((y - self.brow_y + 0.06 * x.square()) * 85)).square()
        depth = forehead * waves * (i.wrinkles * (0.75 + 0.25 * a.brow_raise.clamp_min(0)) * 0.6)
        # from the wing of the nose past the corner of the mouth
        start_x, end_x = i.nose_width * 1.05, self.mouth_width + 0.075
        start_y, end_y = self.head.tip_y + 0.03, self.head.mouth_y + 0.03
        share = ((start_y - y) / (start_y - end_y)).clamp(0, 1)
        bend = 0.05 * share * (1 - share) * 4
        away = (ax - start_x - (end_x - start_x) * share - bend) * 0.8
        end = (y - end_y).clamp_max(0) + (y - start_y).clamp_min(0)
        fold = cover((away.square() + end.square()).sqrt() - 0.010, pixel, 0.035)
        depth = depth + fold * (0.04 + 0.34 * i.wrinkles + 0.26 * a.smile.clamp_min(0)).clamp_max(0.62)
        # under the eyes, and at their outer corners
        below = (ax - i.eye_spacing).square() / (i.eye_size * 1.05).square()
        bag_y = i.eye_height - self.eye_half_height * 1.05 - 0.045 + 0.05 * below
        bags = cover((y - bag_y).abs() - 0.006, pixel, 0.026) * (1 - below).clamp(0, 1)
        corner = ax - i.eye_spacing - i.eye_size
        crows = bump((corner - 0.07).square() * 260 + (y - i.eye_height).square() * 200)
        crows = crows * (0.5 + 0.5 * torch.cos((y - i.eye_height) / (0.4 + 4 * corner.clamp_min(0)) * 75))
        depth = depth + (0.55 * bags + 0.5 * crows) * i.wrinkles
        painted.albedo = painted.albedo * (colour(-0.95, -1.35, -1.35, x) * depth).exp()

    def _marks(self, painted: Surface, x, y, pixel) -> None:
        i = self.identity
        warped_x, warped_y = x + 0.03 * torch.sin(23 * y + 1), y + 0.03 * torch.sin(19 * x + 2)
        dots = torch.sin(68 * warped_x) * torch.sin(63 * warped_y) + 0.35 * torch.sin(31 * x - 43 * y)
        area = bump((x.abs() - 0.20).square() * 9 + (y + 0.20).square() * 16)
        freckles = smoothstep(dots, 0.35, 1.1) * (area * 1.6).clamp_max(1) * (0.8 * i.freckles)
        painted.albedo = painted.albedo * (colour(-0.75, -1.2, -1.3, x) * freckles).exp()
        away = ((x - i.mole_x).square() + (y - i.mole_y).square()).sqrt() - i.mole_size
        mole = cover(away, pixel) * (i.mole_size * 60).clamp(0, 1)
        painted.albedo = torch.lerp(painted.albedo, self._skin * colour(0.22, 0.13, 0.11, x), mole * 0.92)

    def _beard(self, painted: Surface, x, y) -> None:
        i, a, head = self.identity, self.attributes, self.head
        ax = x.abs()
        mouth_y = head.mouth_y
        drop = 0.19 * a.mouth_opening
        border = -0.86 + i.beard_extent + 0.8 * ax.square() * (1 + i.beard_extent) - 0.3 * drop
        around = mouth_y + 0.12 - (ax / (self.mouth_width + 0.11)).square() * 0.5
        border = torch.maximum(border, around - 0.20 + 0.6 * i.beard_extent).clamp_max(-0.16)
        chin = smoothstep(border - y, -0.03, 0.07)
        reach = self.mouth_width * 1.12
        above = (y - mouth_y - 0.035 + 0.30 * ax.square() - 0.02 * a.smile) / (
            0.075 * (1.15 - (ax / reach).square()).clamp_min(0.2)
        )
        lip = smoothstep(1.2 - above.abs(), 0.0, 0.5) * smoothstep(reach - ax, -0.01, 0.05)
        grain = 0.92 + 0.08 * torch.sin(75 * x + 2 * torch.sin(25 * y)) * torch.sin(50 * y)
        density = torch.maximum(chin * i.beard_density, lip * i.moustache) * grain
        painted.albedo = torch.lerp(painted.albedo, self._hair * 0.8 + self._skin * 0.06, density.clamp_max(0.93))
        painted.gloss = painted.gloss * (1 - 0.7 * density)

    def _nostrils(self, painted: Surface, x, y, pixel) -> None:
        i = self.identity
        ax = x.abs()
        dx = (ax - i.nose_width * 0.46) / (i.nose_width * 0.30)
        dy = (y - self.head.tip_y + 0.062 - 0.02 * dx) * (1 / 0.020)
        hole = cover(((dx.square() + dy.square()).sqrt() - 1) * 0.020, pixel, 0.012)
        painted.albedo = torch.lerp(painted.albedo, self._skin * colour(0.16, 0.08, 0.07, x), hole * 0.75)

    def _mouth(self, painted: Surface, x, y, pixel) -> None:
        i, a = self.identity, self.attributes
        u = (x / self.mouth_width).clamp(-1.5, 1.5)
        top, upper, lower, bottom = self.mouth(u)
        red = torch.lerp(colour(0.86, 0.60, 0.58, x), colour(0.92, 0.26, 0.28, x), i.lip_redness)
        lips = self._skin.sqrt() * 0.85 * red.square() * i.lip_lightness
        shape = cover(torch.maximum(y - top, bottom - y), pixel, 0.010)
        upper_shade = 1 - 0.18 * cover(upper - y, pixel, 0.02)
        painted.albedo = torch.lerp(painted.albedo, lips * upper_shade, shape * 0.95)
        painted.gloss = painted.gloss + 0.10 * shape * cover((y - lower + 0.4 * i.lower_lip).abs() - 0.015, pixel, 0.03)
        shut = 1 - smoothstep(a.mouth_opening * (1 - u.square()), 0.02, 0.12)
        inside = cover(torch.maximum(y - upper, lower - y), pixel) * (1 - shut)
        depth = (upper - y).clamp_min(0)
        cavity = colour(0.05, 0.010, 0.012, x) + colour(0.42, 0.10, 0.10, x) * bump(
            (u * 1.3).square() + ((y - lower) * (1 / 0.10)).square()
        )
        teeth = cover(depth - 0.055, pixel, 0.01) * cover(u.abs() - 0.86, pixel, 0.1)
        cavity = torch.lerp(cavity, colour(0.86, 0.82, 0.74, x), teeth)
        painted.albedo = torch.lerp(painted.albedo, cavity, inside)
        painted.gloss = painted.gloss * (1 - inside)
        # the line between closed lips, and the corners
        middle = 0.5 * (upper + lower)
        line = cover(torch.maximum((y - middle).abs() - 0.008, (u.abs() - 1.04) * self.mouth_width), pixel, 0.008)
        painted.albedo = torch.lerp(painted.albedo, lips * colour(0.14, 0.08, 0.09, x), line * shut * 0.92)

    def _eyes(self, painted: Surface, x, y, view: View) -> None:
        i, a = self.identity, self.attributes
        origin, ray, light, _, pixel = view
        side = torch.where(x >= 0, 1.0, -1.0)
        dx, dy = x.abs() - i.eye_spacing, y - i.eye_height
        across = dx * self._tilt[0] + dy * self._tilt[1]
        height = dy * self._tilt[0] - dx * self._tilt[1]
        u = (across / i.eye_size).clamp(-1.6, 1.6)
        upper, lower = self.lids(u)
        aperture = torch.maximum(height - upper, lower - height)
        opening = cover(aperture * 0.85, pixel)
        # skin around: the lid's crease and its shadow
        near = bump((u * 0.72).square() + ((height - upper - 0.02) * (1 / 0.13)).square())
        crease = cover((height - upper * 0.55 - 0.062 - 0.035 * (1 - u.square())).abs() - 0.006, pixel, 0.018)
        crease = crease * (1.25 - u.square()).clamp(0, 1)
        painted.albedo = painted.albedo * (colour(-0.6, -0.8, -0.75, x) * (0.20 * near + 0.55 * crease)).exp()
        # the ball
        centre = (side * i.eye_spacing, i.eye_height, self._ball_z)
        offset = tuple(o - c for o, c in zip(origin, centre, strict=True))
        half = dot(offset, ray)
        inside = half.square() - dot(offset, offset) + self._ball.square()
        distance = -half - inside.clamp_min(0).sqrt()
        normal = normalised(tuple(o + r * distance for o, r in zip(offset, ray, strict=True)))
        gaze_x, gaze_y = a.gaze_x * _RADIANS, a.gaze_y * _RADIANS
        gaze = (torch.sin(gaze_x) * torch.cos(gaze_y), torch.sin(gaze_y), torch.cos(gaze_x) * torch.cos(gaze_y))
        away = tuple(n - g for n, g in zip(normal, gaze, strict=True))
        radius = dot(away, away).sqrt() * (1 / _IRIS_ANGLE)  # chords: an angle's length to 1 % at this size
        unit = pixel / (self._ball * _IRIS_ANGLE)
        iris = (
            iris_colour(i) * (0.62 + 0.75 * (radius - _PUPIL).clamp(0, 1)) * (1 - 0.72 * smoothstep(radius, 0.72, 1.0))
        )
        ball = torch.lerp(colour(0.80, 0.77, 0.745, x) * (1 - 0.20 * u.square()), iris, cover(radius - 1, unit, 0.10))
        ball = torch.lerp(ball, colour(0.008, 0.007, 0.007, x), cover(radius - _PUPIL, unit, 0.08))
        # the light's reflection, on the iris wherever the light is
        spot = tuple(n - g - 0.17 * d for n, g, d in zip(normal, gaze, light, strict=True))
        glint = cover(dot(spot, spot).sqrt() - 0.085, pixel / self._ball, 0.03)
        lid_shadow = 1 - 0.55 * cover(upper - height - 0.012, pixel, 0.05)
        ball = ball * lid_shadow + glint * 0.9
        painted.albedo = torch.lerp(painted.albedo, ball, opening)
        assert isinstance(painted.occlusion, torch.Tensor)  # as _skin_surface makes it
        painted.occlusion = torch.lerp(painted.occlusion, torch.ones_like(x), opening * 0.7)
        painted.gloss = painted.gloss * (1 - opening)
        soft = tuple(0.6 * n + 0.4 * b for n, b in zip(painted.normal, normal, strict=True))
        painted.normal = tuple(torch.lerp(n, s, opening) for n, s in zip(painted.normal, soft, strict=True))
        # lashes along the upper lid, longer outwards; a faint rim below
        lash = (height - upper - 0.005 - 0.008 * u).abs() - 0.010 - 0.004 * u
        lash = cover(torch.maximum(lash, (u.abs() - 1.06) * i.eye_size), pixel, 0.006)
        rim = cover(torch.maximum((height - lower).abs() - 0.005, (u.abs() - 1) * i.eye_size), pixel, 0.010)
        painted.albedo = torch.lerp(painted.albedo, self._skin * 0.03 + 0.006, (lash * 0.93).clamp_max(1))
        painted.albedo = painted.albedo * (1 - 0.40 * rim * (1 - lash))

    def _brows(self, painted: Surface, x, y, pixel) -> None:
        i = self.identity
        u = ((x.abs() - i.eye_spacing * 0.97 - 0.02) / i.brow_length).clamp(-1.5, 1.5)
        middle = self.brow(u)[1]
        thickness = i.brow_thickness * (1 - 0.55 * smoothstep(u, -0.3, 1.0))
        edge = torch.maximum((y - middle).abs() - thickness, (u.abs() - 1) * i.brow_length)
        hairs = 0.93 + 0.07 * torch.sin(70 * x.abs() + 45 * y)
        brow = cover(edge, pixel, 0.016) * hairs * i.brow_darkness
        dark = self._hair * 0.24 + self._skin * colour(0.05, 0.04, 0.03, x)
        painted.albedo = torch.lerp(painted.albedo, dark, brow)
        painted.gloss = painted.gloss * (1 - brow)
