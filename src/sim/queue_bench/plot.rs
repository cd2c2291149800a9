//! The plot as SVG text: cost against the bound, and cost against pace.

use std::fmt::Write;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct Points {
    ratios: Vec<(f64, [f64; 7])>,
    /// Ours at 5%: changes per round, runs per change.
    pub front: Vec<(f64, f64)>,
    /// The train at 5%.
    pub train: Vec<(f64, f64)>,
    /// The optimum of tests on prefixes at 5% with every slot used.
    pub best: Vec<(f64, f64)>,
}

const NAMES: [&str; 7] = [
    "ours, p known",
    "ours, learnt",
    "original, 5",
    "bors-ng, 8",
    "batch 4",
    "serial",
    "train, 20",
];
const COLOURS: [&str; 7] =
    ["#0b6e4f", "#5aa9e6", "#c1121f", "#e07a00", "#8338ec", "#6c757d", "#3d405b"];
/// Pixels of one panel.
const WIDE: f64 = 420.0;
const HIGH: f64 = 320.0;

/// A panel's scale: both axes logarithmic.
struct Panel {
    left: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Panel {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let part = |value: f64, (low, high): (f64, f64)| (value / low).ln() / (high / low).ln();
        (self.left + WIDE * part(x, self.x), 50.0 + HIGH * (1.0 - part(y, self.y)))
    }

    fn frame(&self, out: &mut String, title: &str, xs: &[(f64, &str)], ys: &[f64]) {
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"50\" width=\"{WIDE}\" height=\"{HIGH}\" fill=\"none\" \
             stroke=\"#999\"/><text x=\"{}\" y=\"36\" font-size=\"14\">{title}</text>",
            self.left, self.left
        );
        for (x, word) in xs {
            let (px, py) = self.at((*x, self.y.0));
            let _ = writeln!(
                out,
                "<text x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{word}</text>",
                py + 16.0
            );
        }
        for y in ys {
            let (px, py) = self.at((self.x.0, *y));
            let _ = writeln!(
                out,
                "<line x1=\"{px:.1}\" x2=\"{:.1}\" y1=\"{py:.1}\" y2=\"{py:.1}\" \
                 stroke=\"#eee\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{y}</text>",
                px + WIDE,
                px - 6.0,
                py + 4.0
            );
        }
    }

    fn line(&self, out: &mut String, points: &[(f64, f64)], colour: &str) {
        let places: Vec<(f64, f64)> = points.iter().map(|point| self.at(*point)).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in places {
            let _ =
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

fn legend(out: &mut String, left: f64, names: &[&str], colours: &[&str]) {
    for (at, (name, colour)) in names.iter().zip(colours).enumerate() {
        let (x, y) = (left + 140.0 * (at % 3) as f64, 410.0 + 18.0 * (at / 3) as f64);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\">{name}</text>",
            y - 9.0,
            x + 15.0
        );
    }
}

impl Points {
    /// Costs over the bound at a rate: ours known and learnt, then the others.
    pub(super) fn ratio(&mut self, p: f64, known: f64, learnt: f64, others: [f64; 5]) {
        let [a, b, c, d, e] = others;
        self.ratios.push((p, [known, learnt, a, b, c, d, e]));
    }

    /// The drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut out = String::from(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"470\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"1000\" height=\"470\" fill=\"#fff\"/>\n",
        );
        let panel = Panel { left: 50.0, x: (0.004, 0.4), y: (0.9, 30.0) };
        let xs = [
            (0.005, "0.5%"),
            (0.01, "1%"),
            (0.02, "2%"),
            (0.05, "5%"),
            (0.1, "10%"),
            (0.2, "20%"),
            (0.3, "30%"),
        ];
        let title = "Gate runs per change over the entropy bound, by failure rate";
        panel.frame(&mut out, title, &xs, &[1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0]);
        for (at, colour) in COLOURS.iter().enumerate() {
            let line: Vec<(f64, f64)> = self.ratios.iter().map(|(p, all)| (*p, all[at])).collect();
            panel.line(&mut out, &line, colour);
        }
        legend(&mut out, 50.0, &NAMES, &COLOURS);
        let panel = Panel { left: 550.0, x: (0.8, 20.0), y: (0.2, 2.5) };
        let xs = [(1.0, "1"), (2.0, "2"), (4.0, "4"), (8.0, "8"), (16.0, "16")];
        let title = "5% failures, 1 2 4 8 16 slots: runs per change by changes per round";
        panel.frame(&mut out, title, &xs, &[0.25, 0.5, 1.0, 2.0]);
        panel.line(&mut out, &self.best, "#bbb");
        panel.line(&mut out, &self.train, COLOURS[6]);
        panel.line(&mut out, &self.front, COLOURS[0]);
        let names = ["ours", "train of as many", "R*, all slots used"];
        legend(&mut out, 550.0, &names, &[COLOURS[0], COLOURS[6], "#bbb"]);
        out.push_str("</svg>\n");
        out
    }
}
