{% if config_get("user.network-config", "") == "" %}version: 2
ethernets:
  eth0: {dhcp4: true}{% else %}{{ config_get("user.network-config", "") }}{% endif %}
