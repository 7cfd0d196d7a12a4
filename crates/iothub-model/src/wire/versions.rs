//! The versions of the service's API. All of them mean the same here.

/// The version that this program sends: the one of Microsoft's own service SDKs.
pub const API_VERSION: &str = "2021-04-12";

/// The versions that are served, each with what sends it or sent it to hubs (histories of the clients' sources). Older ones than the
/// first, which no client of today sends, are refused, and so is what never was a version.
pub const SERVED_API_VERSIONS: [(&str, &str); 21] = [
    ("2016-11-14", "C device SDK over HTTPS; plain MQTT clients"),
    ("2017-06-30", "npm `azure-iothub` 1.2; C#, Java and C SDKs of 2017"),
    ("2017-07-11", "Java and C# service SDKs of 2017"),
    ("2017-10-15", "C# service SDK of 2017"),
    ("2017-11-08-preview", "IoT Edge's identity service"),
    ("2018-01-16", "npm `azure-iothub` 1.3"),
    ("2018-03-01-preview", "C#, Java and C SDKs of 2018"),
    ("2018-06-30", "npm `azure-iothub` 1.7 to 1.9; Go; IoT Edge; Microsoft's samples for plain MQTT"),
    ("2018-08-30-preview", "az extension of 2019"),
    ("2019-03-30", "npm `azure-iothub` 1.10 to 1.12.2; Go; C# and Java SDKs of 2019"),
    ("2019-06-30", "Python `azure-iot-hub` of 2019"),
    ("2019-07-01-preview", "az extension of 2019, digital twins"),
    ("2019-10-01", "npm `azure-iothub` 1.12.5; Python `azure-iot-device`; az extension, as a device"),
    ("2020-03-01", "Python `azure-iot-hub` of 2020"),
    ("2020-03-13", "C#, Java, Node and Go clients of 2020"),
    ("2020-05-31-preview", "IoT Edge's identity service; SDKs of 2020"),
    ("2020-06-30-preview", "az extension of 2020, digital twins"),
    ("2020-09-30", "npm `azure-iothub` 1.13; C, C# and Java device SDKs; azure-sdk-for-c; Go"),
    (API_VERSION, "npm `azure-iothub` from 1.14; C#, Java and Python service SDKs; Terraform provider; twinctl"),
    ("2024-03-31", "az extension of today"),
    ("2025-08-01-preview", "C, C# and Java device SDKs, for certificate signing"),
];

/// Returns `true` if requests may name this version.
pub fn is_served(version: &str) -> bool {
    SERVED_API_VERSIONS.iter().any(|(served, _)| *served == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order_and_dates_beside_them_are_none() {
        assert!(SERVED_API_VERSIONS.is_sorted_by(|(first, _), (second, _)| first < second));
        for version in ["2018-01-16", "2019-03-30", "2019-10-01", "2024-03-31", "2025-08-01-preview", API_VERSION] {
            assert!(is_served(version), "{version}");
        }
        for never in
            ["", "2021-04-13", "2021-04-12-preview", "2020-05-31", "2019-10-01 ", "1.0", "latest", "2099-01-01"]
        {
            assert!(!is_served(never), "{never}");
        }
    }
}
