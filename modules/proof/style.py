"""How the page of a proof looks, on screens light, dark and narrow, and on A4: one style sheet within the page.

No line begins with spaces, and nothing is repeated: what stands in the page must not be mistaken for pixels.
"""

from __future__ import annotations

STYLE = """\
:root{color-scheme:light dark;--paper:#fff;--ink:#1d2129;--soft:#5b6472;--line:#dfe3e8;--band:#f5f7f9;
--good:#176b41;--good-band:#e4f3ea;--look:#7a5200;--look-band:#fcf1d8;--bad:#a61c14;--bad-band:#fce7e5}
@media screen and (prefers-color-scheme:dark){:root{--paper:#15181d;--ink:#e6e9ee;--soft:#9aa4b2;--line:#2e343d;
--band:#1c2027;--good:#84dba8;--good-band:#14301f;--look:#f0c672;--look-band:#33280f;--bad:#ffa198;--bad-band:#3c1815}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
main{max-width:75rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.1rem 0 .3rem;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.1rem;margin:2.6rem 0 .5rem;font-weight:650}
h3{font-size:.95rem;margin:1.2rem 0 .3rem;font-weight:650}
p,ul,dl{margin:.4rem 0;max-width:48rem}
ul{padding-left:1.2rem}
li{margin:.25rem 0}
.kicker,.under,small{color:var(--soft)}
.kicker{margin:0;font-size:.85rem}
.under{margin-top:0}
small{font-size:.8em;line-height:1.35;display:block}
.headline{margin:1.4rem 0;padding:.9rem 1.1rem;border-left:.35rem solid;border-radius:.3rem;font-size:1.15rem;
font-weight:600;max-width:none}
.headline small{font-weight:400;color:var(--ink);font-size:.85rem;margin-top:.15rem}
.good{color:var(--good)}.look{color:var(--look)}.bad{color:var(--bad)}
.headline.good,.badge.good{background:var(--good-band)}
.headline.look,.badge.look{background:var(--look-band)}
.headline.bad,.badge.bad{background:var(--bad-band)}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:.8rem;font-weight:600;font-size:.9em;white-space:nowrap}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;font-size:.8rem;color:var(--soft);vertical-align:bottom;
border-bottom:2px solid var(--line)}
th,td{padding:.45rem .6rem}
td{vertical-align:top;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
.seed{white-space:normal;overflow-wrap:anywhere;max-width:6.5rem}
.faces th,.figure{white-space:nowrap}
.faces{font-size:.92rem}
.faces td:first-child{white-space:nowrap}
.drift{min-width:9rem}
.states{width:auto;max-width:60rem}
.states td{border:0;padding-top:.3rem;padding-bottom:.3rem}
.states .n{font-size:1.25rem;font-weight:650;line-height:1.3}
.digest{font-family:ui-monospace,SFMono-Regular,Consolas,"Liberation Mono",monospace;font-size:.78rem;
overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.2rem 1.2rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.settings{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:0 2rem}
.settings section{break-inside:avoid}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8rem}
@page{size:A4;margin:14mm 12mm}
@media print{:root{color-scheme:light}body{font-size:9pt}main{padding:0;max-width:none}
.faces{font-size:7.2pt}.faces th{font-size:6.8pt}th,td{padding:1.2mm 1.2mm}.wide{overflow:visible}
.drift{min-width:0}thead{display:table-header-group}tr{break-inside:avoid}h2,h3{break-after:avoid}
.headline,.badge{print-color-adjust:exact;-webkit-print-color-adjust:exact}.digest{font-size:6.8pt}h2{margin-top:7mm}}
"""
