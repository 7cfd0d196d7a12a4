//! One run, and the messages that it is billed as: what the plan estimated, what the client counted, and what the hub
//! charged.

use crate::apply::{ApplyOptions, apply};
use crate::cancel::CancelFlag;
use crate::client::tests::hub::TestHub;
use crate::manifest::load_texts;
use crate::plan::{Consent, PlanContext, approve};
use crate::refresh::{self, RefreshOptions};
use iothub_model::tiers::{Class, Limits, Tier};

/// A new device, one whose patch takes several blocks on either tier, one with tags alone, and a check that asks the
/// hub.
fn manifest() -> String {
    let long = "x".repeat(3000);
    format!(
        "
fleet: demo
missing: register
devices:
  d-new: {{ desired: {{ interval: 60 }} }}
  d-large: {{ desired: {{ text: {long}, more: {long} }} }}
  d-tags: {{ tags: {{ plant: munich }} }}
checks:
  - {{ name: none odd, query: SELECT deviceId FROM devices WHERE tags.odd = true, expect: none }}
"
    )
}

#[tokio::test]
async fn plan_client_and_hub_bill_the_same_messages() {
    for tier in [Tier::S1, Tier::F1] {
        let hub = TestHub::start_with_tier(Some(tier)).await;
        let client = hub.client();
        let limits = Limits::new(tier, 1).expect("limits");
        for id in ["d-large", "d-tags", "other"] {
            client.create_device(&id.parse().expect("an id")).await.expect("a device");
        }
        let text = manifest();
        let declarations = load_texts(&[("fleet.yaml", &text)], &|_| None).expect("a manifest").declarations;
        assert_eq!((hub.charged(), client.usage().messages(tier)), (0, 0), "{tier}: identities are free");

        let options = RefreshOptions { concurrency: 1, limits, only: None, confirm_drift: false };
        let make = async || {
            let context = PlanContext { hub: client.host().clone(), revision: String::new(), take_ownership: false };
            refresh::plan(&client, &declarations, context, &options, &mut |_| {}).await.expect("a plan")
        };
        let plan = make().await;
        let cost = plan.impact.cost.clone().expect("a cost");
        let planned = client.usage();
        assert!(planned.of(Class::Queries).requests > 0 && planned.of(Class::TwinReads).requests > 0, "{planned:?}");
        assert_eq!(
            (cost.read.messages, hub.charged()),
            (planned.messages(tier), planned.messages(tier)),
            "{tier}: plan"
        );

        let approved = approve(plan, Consent::Flag, None).expect("approved");
        let report = apply(&approved, &client, &ApplyOptions::default(), CancelFlag::new(), &mut |_| {}).await;
        assert_eq!((report.written, report.registered, report.rebased), (3, 1, 0), "{report:?}");
        let applied = client.usage().since(&planned);
        let estimate = cost.apply.expect("twins are written");
        let requests: u64 = Class::ALL.into_iter().map(|class| applied.of(class).requests).sum();
        assert_eq!(estimate.requests, requests, "{tier}: requests of apply");
        assert_eq!(applied.messages(tier), hub.charged() - planned.messages(tier), "{tier}: apply, client and hub");
        assert_eq!(estimate.messages, applied.messages(tier), "{tier}: apply, plan and client");
        assert!(estimate.messages > 4, "{tier}: the patch of d-large takes several");

        let again = make().await;
        assert_eq!(again.impact.cost.expect("a cost").apply, None);
        assert_eq!(hub.charged(), client.usage().messages(tier), "{tier}: the second plan");
    }
}
