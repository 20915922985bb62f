"""The paper's training (Kung et al., WACV 2025, sections 3 and 4.1). Never imported by the nodes; no ComfyUI here."""
