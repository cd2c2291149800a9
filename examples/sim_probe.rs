use gastown::sim::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let seed = a[1].parse().unwrap();
    let days: f64 = a[2].parse().unwrap();
    let f: Faults = a[3].parse().unwrap();
    #[cfg(feature = "mutants")]
    gastown::model::mutant::choose(a.get(4).map(|m| m.parse().unwrap()));
    let t = std::time::Instant::now();
    let r = run(&Config::days(seed, days, 3, 30, f));
    println!("{}", serde_json::to_string_pretty(&r).unwrap());
    println!("{:?}", t.elapsed());
}
