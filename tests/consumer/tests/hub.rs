use iothub_emulator::Emulator;
use serde_json::json;

#[tokio::test]
async fn a_device_knows_its_building() {
    let hub = Emulator::builder().in_memory().start().await.expect("a hub");
    hub.create_device("thermostat-001").expect("a device");
    hub.set_tags("thermostat-001", json!({ "building": "43" })).expect("tags");
    assert_eq!(consumer::building(&hub.twin("thermostat-001").expect("a twin")), Some("43"));
}
