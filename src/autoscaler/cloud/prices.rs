//! What instances cost: on demand from AWS's price list, spot from the history of its prices.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_pricing::types::{Filter, FilterType};
use serde_json::Value;

use crate::autoscaler::state::instance_types::Price;
use crate::aws::{Cloud, CloudError, call};

/// What the price list has to say of an entry for it to be a Linux instance on demand that one can start.
const WANTED: [(&str, &str); 6] = [
    ("serviceCode", "AmazonEC2"),
    ("operatingSystem", "Linux"),
    ("preInstalledSw", "NA"),
    ("tenancy", "Shared"),
    ("capacitystatus", "Used"),
    ("marketoption", "OnDemand"),
];

/// On-demand prices of Linux instances in the region of `cloud`.
///
/// # Errors
/// The call's.
pub async fn on_demand(cloud: &Cloud) -> Result<BTreeMap<String, Price>, CloudError> {
    let filters = WANTED
        .into_iter()
        .chain([("regionCode", cloud.region.as_str())])
        .map(|(field, value)| Filter::builder().r#type(FilterType::TermMatch).field(field).value(value).build());
    let filters = filters
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CloudError::refused("pricing:GetProducts", error.to_string()))?;
    let request = cloud.read.pricing.get_products().service_code("AmazonEC2").set_filters(Some(filters));
    let mut pages = request.into_paginator().send();
    let mut prices = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = call("pricing:GetProducts", async { page }).await?;
        prices.extend(page.price_list().iter().filter_map(|entry| price_of(entry)));
    }
    Ok(prices)
}

/// The instance type and hourly price of one entry of the price list; `None` for what is not sold by the hour.
fn price_of(entry: &str) -> Option<(String, Price)> {
    let entry: Value = serde_json::from_str(entry).ok()?;
    let instance_type = entry["product"]["attributes"]["instanceType"].as_str()?;
    let terms = entry["terms"]["OnDemand"].as_object()?;
    let dimensions = terms.values().filter_map(|term| term["priceDimensions"].as_object()).flat_map(|all| all.values());
    let hourly = dimensions.filter(|dimension| dimension["unit"].as_str() == Some("Hrs"));
    let amounts = hourly.filter_map(|dimension| dimension["pricePerUnit"].as_object()).flat_map(|all| all.values());
    let price = amounts
        .filter_map(|amount| amount.as_str()?.parse::<f64>().ok())
        .filter_map(Price::from_dollars)
        .find(|price| price.0 > 0)?;
    Some((instance_type.to_owned(), price))
}

/// The spot prices of Linux instances now, by type and zone.
///
/// # Errors
/// The call's.
pub async fn spot(cloud: &Cloud) -> Result<BTreeMap<(String, String), Price>, CloudError> {
    // From now on: the history then begins with the price that holds at this moment.
    let request = cloud
        .read
        .ec2
        .describe_spot_price_history()
        .product_descriptions("Linux/UNIX")
        .start_time(SystemTime::now().into());
    let mut pages = request.into_paginator().send();
    let mut newest: BTreeMap<(String, String), (i64, Price)> = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = call("ec2:DescribeSpotPriceHistory", async { page }).await?;
        for entry in page.spot_price_history() {
            let price = entry.spot_price().and_then(|text| text.parse().ok()).and_then(Price::from_dollars);
            let (Some(name), Some(zone), Some(price)) = (entry.instance_type(), entry.availability_zone(), price)
            else {
                continue;
            };
            let since = entry.timestamp().map_or(0, aws_smithy_types::DateTime::secs);
            let known = newest.entry((name.as_str().to_owned(), zone.to_owned())).or_insert((since, price));
            if since > known.0 {
                *known = (since, price);
            }
        }
    }
    Ok(newest.into_iter().map(|(key, (_, price))| (key, price)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(unit: &str, amount: &str) -> String {
        json!({
            "product": { "attributes": { "instanceType": "m7g.large", "operatingSystem": "Linux" } },
            "terms": { "OnDemand": { "A.B": { "priceDimensions": { "A.B.C": {
                "unit": unit, "pricePerUnit": { "USD": amount } } } } } }
        })
        .to_string()
    }

    #[test]
    fn an_entry_of_the_price_list_gives_type_and_hourly_price() {
        let (name, price) = price_of(&entry("Hrs", "0.0816000000")).unwrap_or_else(|| panic!("a price"));
        assert_eq!((name.as_str(), price.0), ("m7g.large", 81_600_000));
    }

    #[test]
    fn entries_without_an_hourly_price_are_passed_over() {
        for entry in [&entry("Quantity", "1"), &entry("Hrs", "0.0000000000"), &entry("Hrs", "free"), "{}", "no JSON"] {
            assert_eq!(price_of(entry), None, "{entry}");
        }
    }
}
